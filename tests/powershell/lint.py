"""A linter for scripts for Windows PowerShell 5.1, which does not run on Linux.

The syntax comes from tree-sitter-powershell. Commands and parameters come from commands.json in this folder,
an extract of Windows Server's modules. Each rule is a mistake that would only show up on a real machine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tree_sitter_powershell
from tree_sitter import Language, Node, Parser

COMMANDS: dict[str, list[str]] = json.loads((Path(__file__).parent / "commands.json").read_text())
_BY_NAME = {name.lower(): parameters for name, parameters in COMMANDS.items()}
# about_CommonParameters of 5.1
_COMMON = {
    "debug", "erroraction", "errorvariable", "informationaction", "informationvariable", "outbuffer",
    "outvariable", "pipelinevariable", "verbose", "warningaction", "warningvariable",
}  # fmt: skip
# about_Automatic_Variables and preference variables
_AUTOMATIC = {
    "_", "args", "error", "erroractionpreference", "false", "input", "lastexitcode", "null",
    "progresspreference", "pscommandpath", "psscriptroot", "true",
}  # fmt: skip
# The environment of every process of Windows.
_ENVIRONMENT = {"computername", "programdata", "programfiles", "systemroot"}
# What does not work, or ends the connection, in the session of a remote log-in.
_NEEDS_SYSTEM = re.compile(r"Microsoft\.Update\.Session|\bSysprep\.exe\b|EC2Launch\.exe|GCESysprep", re.I)
_LISTENER = re.compile(r"WSMan:\\localhost\\Listener", re.I)
_SCOPES = ("env", "global", "local", "private", "script", "using", "variable", "function")
_PARSER = Parser(Language(tree_sitter_powershell.language()))
_ASSIGNABLE = {"variable", "member_access", "element_access"}


@dataclass(frozen=True)
class Problem:
    """A rule that a line breaks."""

    line: int
    rule: str
    text: str


def _text(node: Node) -> str:
    return (node.text or b"").decode()


def _all(node: Node, *types: str) -> Iterator[Node]:
    if node.type in types:
        yield node
    for child in node.children:
        yield from _all(child, *types)


def _variable(node: Node) -> str:
    """Return the name in `$name`, `${name}` or `@name`, with its scope, in lower case."""
    return _text(node).lstrip("$@").strip("{}").lower()


def _name(command: Node) -> str:
    name = next(_all(command, "command_name", "command_name_expr"), None)
    return _text(name).strip("\"' ") if name else ""


def _is_native(command: Node) -> bool:
    name = _name(command).lower()
    called = any(child.type == "command_invokation_operator" for child in command.children)
    return name.endswith(".exe") or (called and not name.endswith(".ps1"))


def _statement(node: Node) -> Node:
    while node.parent is not None and node.parent.type not in ("statement_list", "script_block_body"):
        node = node.parent
    return node


def _tables(root: Node) -> dict[str, set[str]]:
    """Return the keys of each variable that gets a hash literal: variable -> keys."""
    tables: dict[str, set[str]] = {}
    for assignment in _all(root, "assignment_expression"):
        target = next(_all(assignment.children[0], "variable"), None)
        value = assignment.children[-1]
        literal = next(_all(value, "hash_literal_expression"), None)
        if target is not None and literal is not None and _text(value).strip() == _text(literal):
            body = next((child for child in literal.children if child.type == "hash_literal_body"), None)
            entries = [child for child in body.children if child.type == "hash_entry"] if body else []
            tables[_variable(target)] = {
                _text(next(_all(entry, "key_expression"))).strip().lower() for entry in entries
            }
    return tables


def _commands(root: Node) -> Iterator[tuple[Node, str, str]]:
    functions = {_text(node).lower() for node in _all(root, "function_name")}
    tables = _tables(root)
    for command in _all(root, "command"):
        name = _name(command)
        if _is_native(command):
            following = _statement(command).next_named_sibling
            while following is not None and following.type == "comment":
                following = following.next_named_sibling
            if following is None or "$LASTEXITCODE" not in _text(following).split("{")[0]:
                yield command, "unchecked-native", name
            continue
        if name.lower() in functions or name.lower().endswith(".ps1"):
            continue
        known = _BY_NAME.get(name.lower())
        if known is None:
            yield command, "unknown-command", name
            continue
        given = {_text(node).lstrip("-").rstrip(":").lower() for node in _all(command, "command_parameter")}
        for variable in _all(command, "variable"):
            if _text(variable).startswith("@"):
                if _variable(variable) not in tables:
                    yield command, "unknown-splat", _text(variable)
                given |= tables.get(_variable(variable), set())
        for parameter in sorted(given - set(known) - _COMMON):
            yield command, "unknown-parameter", f"{name} -{parameter}"
        if name.lower() == "start-process" and not {"passthru"} & given:
            yield command, "unchecked-native", name


def _variables(root: Node, known: frozenset[str]) -> Iterator[tuple[Node, str, str]]:
    assigned = {name.lower() for name in known} | _AUTOMATIC
    writes: dict[str, Node] = {}
    places = set()
    for left in _all(root, "left_assignment_expression"):
        target = next(_all(left, "variable"), None)
        if not any(next(_all(left, kind), None) for kind in _ASSIGNABLE):
            yield left, "assignment-to-literal", _text(left)
        elif target is not None and _text(target) == _text(left).strip():
            assigned.add(_variable(target))
            writes.setdefault(_variable(target), target)
            places.add(target.id)
    for node in _all(root, "script_parameter", "foreach_statement"):
        target = next(_all(node, "variable"))
        assigned.add(_variable(target))
        places.add(target.id)
    read = set()
    for node in _all(root, "variable"):
        name = _variable(node)
        if node.id in places and node.parent is not None:
            continue
        read.add(name)
        if ":" not in name and name not in assigned:
            yield node, "undefined-variable", _text(node)
    for name, node in writes.items():
        if name not in read | _AUTOMATIC and ":" not in name:
            yield node, "unused-variable", _text(node)


def _strings(root: Node) -> Iterator[tuple[Node, str, str]]:
    for node in _all(root, "expandable_string_literal", "expandable_here_string_literal"):
        text = re.sub(r"\$\([^)]*\)|`.", "", _text(node))
        if re.search(rf"\$(?!(?:{'|'.join(_SCOPES)}):)\w+:", text, re.I):
            yield node, "colon-after-variable", _text(node)
        if re.search(r"\$\w+\.[A-Za-z]+", text):
            yield node, "property-in-string", _text(node)


def _blocks(root: Node) -> Iterator[tuple[Node, str, str]]:
    for node in _all(root, "try_statement"):
        catch = next(_all(node, "catch_clause"), None)
        if catch is None:
            yield node, "try-without-catch", ""
        elif not any(child.is_named for child in next(_all(catch, "statement_block")).children):
            yield node, "empty-catch", ""
    for node in _all(root, "pipeline_chain_tail"):
        yield node, "powershell-7", _text(node)
    for node in _all(root, "redirection"):
        yield node, "redirection", _text(node)
    for node in _all(root, "if_statement", "while_statement"):
        condition = next((child for child in node.named_children if child.type != "statement_block"), None)
        if condition is not None and next(_all(condition, "assignment_expression"), None):
            yield node, "assignment-in-condition", _text(condition)


def _environment(root: Node, given: frozenset[str]) -> Iterator[tuple[Node, str, str]]:
    """Variables of the environment that are read and that nobody has set before."""
    known = {name.lower() for name in given} | _ENVIRONMENT
    places = set()
    for left in _all(root, "left_assignment_expression"):
        target = next(_all(left, "variable"), None)
        if target is not None and _variable(target).startswith("env:"):
            places.add(target.id)
    for node in _all(root, "variable"):
        name = _variable(node)
        if node.id in places:
            known.add(name.removeprefix("env:"))
        elif name.startswith("env:") and name.removeprefix("env:") not in known:
            yield node, "unset-environment", _text(node)
    for match in re.finditer(r"GetEnvironmentVariable\(['\"](\w+)", _text(root)):
        if match[1].lower() not in known:
            yield root, "unset-environment", match[1]


def _session(root: Node, system: bool) -> Iterator[tuple[Node, str, str]]:
    """What only SYSTEM may do, in a script that the session of a remote log-in runs."""
    if system:
        return
    for node in _all(root, "verbatim_string_characters", "expandable_string_literal", "command_name"):
        if _NEEDS_SYSTEM.search(_text(node)):
            yield node, "needs-system", _text(node)
    for node in _all(root, "pipeline"):
        # winrm.ps1 replaces the listener before anybody is logged in through it.
        if (
            _LISTENER.search(_text(node))
            and "Remove-Item" in _text(node)
            and "New-WSManInstance" not in _text(root)
        ):
            yield node, "needs-system", _text(node)


def _swallowed(root: Node) -> Iterator[tuple[Node, str, str]]:
    """Commands that change something and whose failure nobody would see. To ask is allowed to fail."""
    for command in _all(root, "command"):
        asks = _name(command).lower().startswith(("get-", "test-"))
        silent = re.search(r"-ErrorAction:?\s+'?(SilentlyContinue|Ignore)", _text(command), re.I)
        if silent and not asks:
            yield command, "swallowed-failure", _text(command)
    for assignment in _all(root, "assignment_expression"):
        if re.match(
            r"\$ErrorActionPreference\s*=\s*'?(SilentlyContinue|Ignore|Continue)", _text(assignment), re.I
        ):
            yield assignment, "swallowed-failure", _text(assignment)


def _parameters(root: Node) -> Iterator[tuple[Node, str, str]]:
    """Assignments to a parameter with a type: PowerShell converts the value, and ignores case in names."""
    typed = {
        (_function(node), _variable(next(_all(node, "variable"))))
        for node in _all(root, "script_parameter")
        if next(_all(node, "type_literal"), None) is not None
    }
    for left in _all(root, "left_assignment_expression"):
        target = next(_all(left, "variable"), None)
        if (
            target is not None
            and _text(target) == _text(left).strip()
            and (_function(left), _variable(target)) in typed
        ):
            yield left, "assignment-to-parameter", _text(left)


def _function(node: Node | None) -> int | None:
    """Return which function a node is in; None: in no function."""
    while node is not None and node.type != "function_statement":
        node = node.parent
    return None if node is None else node.id


def lint(
    text: str,
    *,
    known: frozenset[str] = frozenset(),
    part: bool = False,
    environment: frozenset[str] = frozenset(),
    system: bool = False,
) -> list[Problem]:
    """Return the problems of a script, by line.

    `known`: variables that are set before it. `part`: the script is part of a command line. `environment`:
    what its caller sets. `system`: it runs as SYSTEM, not in the session of a remote log-in.
    """
    root = _PARSER.parse(text.encode()).root_node
    problems: list[Problem] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.isascii():
            problems.append(Problem(number, "not-ascii", line))
    if root.has_error:
        broken = next((node for node in _all(root, "ERROR") if node.is_error), root)
        return [*problems, Problem(broken.start_point.row + 1, "syntax", _text(broken)[:60])]
    head = [_text(node).strip() for node in _all(root, "pipeline") if _statement(node).parent is not None]
    if not part:
        for required in ("Set-StrictMode -Version Latest", "$ErrorActionPreference = 'Stop'"):
            if required not in head[:2]:
                problems.append(Problem(1, "not-strict", required))
    rules = (
        _commands(root),
        _variables(root, known),
        _strings(root),
        _blocks(root),
        _environment(root, environment),
        _session(root, system),
        _swallowed(root),
        _parameters(root),
    )
    problems += [
        Problem(node.start_point.row + 1, rule, text)
        for broken_rules in rules
        for node, rule, text in broken_rules
    ]
    return sorted(problems, key=lambda problem: problem.line)
