"""Whatever bytes a document has, reading it returns or names the problem; nothing else parses documents."""

from __future__ import annotations

import ast
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from notebake import documents, files, paths
from notebake.documents import DocumentError

ROOT = Path(paths.__file__).parent
PARSERS = {"json.load", "json.loads", "tomllib.load", "tomllib.loads", "tomlkit.load", "tomlkit.parse"}
# The JSON of programs on this host; sigstore's bundles are parsed by documents before.
ENGINES = {"machines/incus_client.py", "machines/qemu.py", "machines/rootfs.py"}
# Run on a machine, and read its own config.json.
SENT = {"machines/programs/home.py", "machines/programs/password.py"}
BOUNDED = settings(derandomize=True, max_examples=200, deadline=None)


def parsers(source: str) -> set[str]:
    """Return the parsers of documents that a module calls."""
    calls = (ast.unparse(node.func) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return {name for name in calls if name in PARSERS or name.endswith(".model_validate_json")}


def test_only_documents_parses_json_and_toml() -> None:
    modules = {path for path in ROOT.rglob("*.py") if parsers(path.read_text("utf-8"))}
    assert {path.relative_to(ROOT).as_posix() for path in modules} == {"documents.py", *ENGINES, *SENT}


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"[" * 100_000, "recursion limit"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "recursion limit"),
        (b"1" * 5000, "out of range"),
        (b'"\\ud800"', "hex escape"),
        (b'"\xe9"', "not UTF-8: byte 2 is 0xe9"),
        ("{}".encode("utf-16"), "UTF-16"),
        (b"NaN", "not JSON"),
        (b'{"a": 1}{"b": 2}', "trailing"),
        (b"", "EOF"),
        (b" " * (documents.MAX_BYTES + 1), "larger than 64 MiB"),
    ],
)  # fmt: skip
def test_json_that_is_none_is_named(data: bytes, problem: str) -> None:
    with pytest.raises(DocumentError, match=problem):
        documents.parse_json(data)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"a = " + b"[" * 50_000, "nested too deeply"),
        (b"a = " + b"[" * 40 + b"]" * 40, "nested too deeply"),
        (b"a." * 20_000 + b"b = 1", "more than 32 parts"),
        (b"x = {" + b"a . " * 20_000 + b"b = 1}", "more than 32 parts"),
        (b"[[" + b'"a".' * 9000 + b"b]]", "more than 32 parts"),
        (b"x = " + b"9" * 5000, "not TOML"),
        (b"[a]\nx = 0x" + b"f" * 5000, "a.x: an integer of more than 64 bits"),
        (b'[[a]]\nx = "\\u001b[2J"', "a.x: a text with a control character"),
        (b'x = "\\u202egnp.exe"', "x: a text with a control character"),
        (b'x = "\\u0000"', "x: a text with a control character"),
        (b'"a\\u0007" = 1', "a key with a control character"),
        (b'x = "\xe9"', "not UTF-8"),
        ("x = 1".encode("utf-16"), "UTF-16"),
        (b"#" * (documents.MAX_TOML_BYTES + 1), "larger than 1 MiB"),
    ],
)  # fmt: skip
def test_toml_that_is_none_is_named(data: bytes, problem: str) -> None:
    with pytest.raises(DocumentError, match=problem):
        documents.parse_toml(data)


def test_a_byte_order_mark_is_no_content() -> None:
    assert documents.parse_json(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}
    assert documents.parse_toml(b"\xef\xbb\xbfa = 1") == {"a": 1}


def test_many_dots_in_a_text_join_no_keys() -> None:
    text = "\n".join(
        [
            'a = "' + "1." * 100 + '"',
            "b = '" + "1." * 100 + "'",
            'c = """' + '\n"x".' * 100 + '"""',
            "# " + "a." * 100,
            f"d.{'.'.join('e' * 8)} = 1.5",
        ]
    )
    assert documents.parse_toml(text.encode()) == tomllib.loads(text)


@BOUNDED
@given(st.text(alphabet="ab.\"'\\#=[]{}, \n0", max_size=200))
@example('"a\\' * 30_000)  # what reads each string to the end of the text again needs minutes
@example('a = """' + '"" ' * 20_000)
def test_toml_is_as_the_standard_library_reads_it(text: str) -> None:
    try:
        expected: Any = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        expected = None
    try:
        found: Any = documents.parse_toml(text.encode())
    except DocumentError as error:
        found = None
        assert expected is None or "more than" in str(error) or "control" in str(error)
    assert found == expected or found is None


ANY = st.recursive(st.none() | st.text() | st.integers(), st.lists)


@BOUNDED
@given(st.binary(max_size=100) | ANY.map(lambda value: json.dumps(value).encode()))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    for parse in (documents.parse_json, documents.parse_toml, documents.editable_toml):
        try:
            parse(data)  # type: ignore[operator]
        except DocumentError as error:
            assert str(error)


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"123")
    assert files.read(path, limit=3) == b"123"
    for name, limit in ((path, 2), (Path("/dev/zero"), 1000), (Path("a\0b"), 9)):
        with pytest.raises(OSError):
            files.read(name, limit=limit)
