"""Faults that users of such tools met, one test each."""

from __future__ import annotations

import http.server
import io
import json
import os
import pwd
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from tests import catalogs
from tests.conftest import Run

from notebake.catalog import promote
from notebake.catalog.catalog import Catalog
from notebake.catalog.signing import Signer
from notebake.cli import prompt
from notebake.errors import SpecError
from notebake.plan import spec
from notebake.plan.plan import Plan
from notebake.provision import files
from notebake.ssh import Ssh

Request = http.server.SimpleHTTPRequestHandler
Answer = Callable[[Request], int | None]
EMPTY = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 4}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("notebook.port = 443", "notebook.port 443 is a port of root's"),
        ("notebook.port = 1023", "notebook.port 1023"),
        ('notebook.profile = "NBServer"', "notebook.profile: .*capital"),
        ('user = "staff"', "user: staff is an account or a group"),
        ('user = "operator"', "user: operator"),
        ('user = "users"', "user: users"),
        ('notebook.folder = "/tmp/notebooks"', "notebook.folder: must not be below /tmp"),
        ('notebook.folder = "/root/work"', "notebook.folder: must not be below /root"),
        ('notebook.folder = "/var/tmp"', "notebook.folder"),
    ],
)
def test_what_no_machine_could_serve_is_refused(text: str, problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        spec.parse(text, source="x")


@pytest.mark.parametrize("text", ["notebook.port = 1024", 'notebook.folder = "/srv/tmp"', 'user = "staff2"'])
def test_their_neighbours_are_taken(text: str) -> None:
    spec.parse(text, source="x")


def test_a_long_japanese_name_is_delivered(make_plan: Callable[..., Plan], tmp_path: Path) -> None:
    name = "2013年度第3四半期売上データの可視化と回帰分析の練習問題集（改訂版）その二.ipynb"
    (tmp_path / name).write_text(json.dumps(EMPTY))
    archive = files.build(make_plan(f'notebook.preload = ["{name}"]')).archive()
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        assert tar.extractfile(f"notebooks/{name}") is not None


@pytest.mark.parametrize("number", [2, 3])
def test_a_notebook_that_jupyter_opens_is_taken(
    make_plan: Callable[..., Plan], tmp_path: Path, number: int
) -> None:
    old = {"nbformat": number, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": []}]}
    (tmp_path / "v.ipynb").write_text(json.dumps(old))
    assert make_plan('notebook.preload = ["v.ipynb"]').notebooks


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + json.dumps(EMPTY).encode(),
        b'{"nbformat": 5, "cells": []}',
        b'{"nbformat": 4}',
        b"[]",
    ],
)
def test_a_notebook_that_jupyter_does_not_open_is_refused(
    make_plan: Callable[..., Plan], tmp_path: Path, data: bytes
) -> None:
    (tmp_path / "v.ipynb").write_bytes(data)
    with pytest.raises(SpecError, match=r"v\.ipynb"):
        make_plan('notebook.preload = ["v.ipynb"]')


def read(data: bytes, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
    return prompt.line("--password-stdin")


def test_a_password_has_no_byte_order_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(b"\xef\xbb\xbfsecret\r\n", monkeypatch) == "secret"
    for data, problem in ((b"p\xe9ssword\n", "not UTF-8"), ("secret\n".encode("utf-16"), "UTF-16")):
        with pytest.raises(SpecError, match=problem):
            read(data, monkeypatch)


def test_a_new_password_keeps_the_specs_link_owner_mode_and_line_ends(run: Run, tmp_path: Path) -> None:
    real = tmp_path / "real/notebake.toml"
    real.parent.mkdir()
    real.write_bytes(b'user = "alice" # me\r\n')
    real.chmod(0o640)
    os.chown(real, 65534, 65534)
    (tmp_path / "notebake.toml").symlink_to("real/notebake.toml")
    assert run("passwd", "--password-stdin", stdin="correct horse\n")[0] == 0
    assert (tmp_path / "notebake.toml").is_symlink()
    status = real.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (65534, 65534, 0o640)
    text = real.read_bytes()
    assert text.startswith(b'user = "alice" # me\r\n') and text.count(b"\n") == text.count(b"\r\n") > 1
    hashed = spec.load(real).notebook.password
    assert hashed is not None
    Argon2id.verify_phc_encoded(b"correct horse", hashed.removeprefix("argon2:"))


@pytest.mark.parametrize("command", [("ps",), ("doctor",), ("logs", "x"), ("stop", "--all")])
def test_a_user_without_a_home_is_told_what_to_set(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    def unknown(*args: object) -> None:
        raise KeyError("no such account")

    for name in ("HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name in ("getpwuid", "getpwnam"):
        monkeypatch.setattr(pwd, name, unknown)
    code, _, err = run(*command)
    assert code == 2 and "set HOME" in err


def test_ssh_does_not_expand_a_percent_sign_in_a_path(tmp_path: Path) -> None:
    folder = tmp_path / "proj_feature%2Flogin"
    access = Ssh(host="h", port=22, user="u", key=folder / "key", known_hosts=folder / "known")
    words = access.argv()
    assert words[words.index("-i") + 1].endswith("proj_feature%%2Flogin/key")
    assert any("proj_feature%%2Flogin/known" in word for word in words)


@contextmanager
def served(
    folder: Path, answer: Callable[[http.server.SimpleHTTPRequestHandler], int | None]
) -> Iterator[str]:
    """Serve a folder as python3 -m http.server does: no ranges. `answer` may give another status first."""
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            assert len(asked) < 100, "endless requests"
            code = answer(self)
            if code is None:
                return super().do_GET()
            body = b"<!doctype html><div id=app></div>"
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return None

        def translate_path(self, path: str) -> str:
            return str(folder / path.partition("?")[0].lstrip("/"))

        def log_message(self, *words: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def filled(catalog: Catalog, tmp_path: Path, signer: Signer, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NOTEBAKE_PUBLIC_KEY", str(tmp_path / "key.pub"))
    catalogs.put(catalog, tmp_path / "baked", 0, signer)
    promote.promote(catalog, catalog.find("debian-13@candidate"), "stable", signer=signer, now=catalogs.START)
    return tmp_path / "catalog"


def missing(code: int, folder: Path) -> Answer:
    return lambda request: None if Path(request.translate_path(request.path)).is_file() else code


@pytest.mark.parametrize("code", [403, 404, 200])
def test_a_catalog_is_read_whatever_a_server_answers_for_what_is_missing(
    filled: Path, run: Run, code: int
) -> None:
    """403: a bucket without the right to list. 200: the front page of an application."""
    with served(filled, missing(code, filled)) as url:
        assert run("catalog", "show", "debian-13@stable", "--catalog", url)[0] == 0
        assert run("catalog", "list", "--catalog", url)[0] == 0


def test_a_disk_is_read_from_a_server_without_ranges(filled: Path, run: Run, tmp_path: Path) -> None:
    with served(filled, lambda _: None) as url:
        code, _, err = run("catalog", "verify", "--public-key", str(tmp_path / "key.pub"), "--catalog", url)
    assert code == 0, err


def test_a_path_is_put_before_the_query_of_a_catalog(filled: Path, run: Run) -> None:
    def authorized(request: Request) -> int | None:
        return None if request.path.endswith("?sv=1&sig=abc") else 403

    with served(filled, authorized) as url:
        assert run("catalog", "show", "debian-13@1.0.0", "--catalog", f"{url}?sv=1&sig=abc")[0] == 0
        code, out, err = run("catalog", "show", "debian-13@1.0.0", "--catalog", f"{url}?sv=1&sig=wrong")
    assert code == 4 and "403" in err and "sig" not in out + err
