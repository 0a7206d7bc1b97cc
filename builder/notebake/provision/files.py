"""The provisioning files that turn a base image into a notebook machine, for user-data and for Packer."""

from __future__ import annotations

import ast
import gzip
import hashlib
import io
import json
import re
import tarfile
import tokenize
from dataclasses import dataclass
from typing import Any

from notebake.files import RenderedFile
from notebake.plan.plan import Plan
from notebake.provision import content, endpoint, features, linux, metadata, own, settings, updates, windows


def _without_spaces(text: str) -> str:
    """Return a Python program without the spaces beside its operators and the comments behind its code."""
    lines = text.splitlines(keepends=True)
    cuts: list[tuple[int, int, int]] = []
    inside, before = 0, None
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        # From Python 3.12 on an f-string is not one token.
        inside += {"FSTRING_START": 1, "FSTRING_END": -1}.get(tokenize.tok_name[token.type], 0)
        beside = before and not inside and before.end[0] == token.start[0]
        if before and beside and token.type == tokenize.COMMENT:
            cuts.append((token.start[0] - 1, before.end[1], token.end[1]))
        elif before and beside and tokenize.OP in (before.type, token.type):
            cuts.append((token.start[0] - 1, before.end[1], token.start[1]))
        before = token
    for number, start, end in reversed(cuts):
        lines[number] = lines[number][:start] + lines[number][end:]
    return "".join(lines)


def without_comments(text: str, *, python: bool) -> str:
    """Return `text` without comment lines and docstrings, and Python with few spaces.

    User-data has 16 KiB; the source has the words.
    """
    lines = text.splitlines(keepends=True)
    drop: set[int] = set()
    strings: set[int] = set()
    if python:
        for node in ast.walk(ast.parse(text)):
            body = getattr(node, "body", None)
            if (
                isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef)
                and isinstance(body, list)
                and len(body) > 1
                and isinstance(body[0], ast.Expr)
                and isinstance(body[0].value, ast.Constant)
                and isinstance(body[0].value.value, str)
            ):
                drop.update(range(body[0].lineno, (body[0].end_lineno or 0) + 1))
            if isinstance(node, ast.Constant | ast.JoinedStr) and (node.end_lineno or 0) > node.lineno:
                strings.update(range(node.lineno + 1, (node.end_lineno or 0) + 1))
    for number, line in enumerate(lines, 1):
        comment = line.lstrip().startswith("#") and not line.startswith("#!")
        if (comment or (python and not line.strip())) and number not in strings:
            drop.add(number)
    short = "".join(
        re.sub("^(    )+", lambda spaces: " " * (len(spaces[0]) // 4), line)
        if python and number not in strings
        else line
        for number, line in enumerate(lines, 1)
        if number not in drop
    )
    return _without_spaces(short) if python else short


def _behind_a_proxy(plan: Plan) -> dict[str, Any]:
    """Return ServerApp's settings for a server behind a reverse proxy; without one there are none."""
    notebook = plan.spec.notebook
    found = {"base_url": notebook.base_url} if notebook.base_url != "/" else {}
    if notebook.origin:
        found["allow_origin"] = notebook.origin
    return {"server": found} if found else {}


def config(plan: Plan) -> dict[str, Any]:
    """Return the values that the programs on the machine read from config.json."""
    spec, target = plan.spec, plan.target
    common = {
        "folder": spec.notebook.folder,
        "port": spec.notebook.port,
        "profile": spec.notebook.profile,
        "pylab": spec.notebook.pylab,
        "cull_idle_timeout": spec.notebook.cull_idle_timeout,
        "password": spec.notebook.password,
        "names": list(spec.certificate.names),
        "own_certificate": plan.own_certificate is not None,
        **_behind_a_proxy(plan),
    }
    if target.is_windows:
        return common | windows.config(plan)
    return {
        "target": target.name,
        "family": target.family,
        "firewall": target.firewall,
        "programs": {
            **target.programs,
            **updates.programs(plan),
            **endpoint.programs(plan),
            **metadata.programs(plan),
        },
        "interpreter": target.python.interpreter,
        "user": spec.user,
        **common,
        "kernel_prefix": linux.kernel_prefix(spec.notebook.kernel_memory),
        "endpoint": {"name": spec.endpoint.name, "public_port": spec.endpoint.public_port},
        "index": plan.sources.python,
        "own_sources": bool(plan.sources.apt or plan.sources.zypper),
        "proxy": dict(plan.sources.proxy),
        "proxy_for_users": not isinstance(spec.mirrors, str) and spec.mirrors.proxy_for_users,
        "timers": updates.timers(plan),
        "os_packages": features.os_packages(plan),
        "own": own.config(plan),
        **content.config(plan),
        "uv": {"file": plan.lock.uv_file, "sha256": plan.lock.uv_sha256},
    }


@dataclass(frozen=True, kw_only=True)
class Payload:
    """The provisioning files of one plan, built once and handed on.

    `files`: sorted by path, which is relative to their folder (on Linux /opt/notebake/guest).
    """

    files: tuple[RenderedFile, ...]

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over paths and contents."""
        total = hashlib.sha256()
        for item in self.files:
            total.update(f"{item.path}\0{len(item.data)}\0".encode() + item.data)
        return total.hexdigest()

    def archive(self, files: tuple[RenderedFile, ...] | None = None) -> bytes:
        """Return the files and their digest as a tar.gz, with fixed order, owner and times.

        `files` replaces them, not their digest: those of a bake.
        """
        plain = io.BytesIO()
        with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for item in (
                *(self.files if files is None else files),
                RenderedFile(path="digest", data=self.digest.encode() + b"\n"),
            ):
                entry = tarfile.TarInfo(item.path)
                entry.size, entry.mode = len(item.data), item.mode
                tar.addfile(entry, io.BytesIO(item.data))
        return gzip.compress(plain.getvalue(), compresslevel=9, mtime=0)


def build(plan: Plan) -> Payload:
    """Return the provisioning files of `plan`."""
    texts = windows.programs() if plan.target.is_windows else linux.programs(plan)
    found = {
        path: without_comments(text, python=path.endswith(".py")).encode() for path, text in texts.items()
    }
    found["config.json"] = (json.dumps(config(plan), separators=(",", ":")) + "\n").encode()
    found["requirements.txt"] = plan.lock.requirements().encode()
    if plan.sources.ca_certificates:
        found["ca.pem"] = "".join(plan.sources.ca_certificates).encode()
    if plan.own_certificate is not None:
        found["own.pem"] = plan.own_certificate
    if plan.target.is_windows:
        found.update({f"notebooks/{name}": data for name, data in plan.notebooks})
    else:
        found.update(content.files(plan))
        made = settings.files(plan, linux.cloud(plan))
        found.update({path: text.encode() for path, text in made.items()})
        found.update(own.files(plan))
    if plan.spec.updates.at_first_boot:
        found["upgrade.sh"] = without_comments(linux.upgrade(), python=False).encode()
    return Payload(files=tuple(RenderedFile(path=path, data=found[path]) for path in sorted(found)))
