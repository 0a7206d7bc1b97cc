"""The machine's side of `preload`: files, a git repository at a commit, a tar; with a real git server."""

from __future__ import annotations

import base64
import functools
import hashlib
import http.server
import io
import os
import pwd
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
from tests import machine_program

from notebake import process


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves files, and repositories by git's own http-backend. Fails once for each path in `faults`."""

    faults: ClassVar[set[str]] = set()

    def do_GET(self) -> None:
        if self.path in self.faults:
            self.faults.remove(self.path)
            self.send_error(503)
        elif self.path.startswith("/git/"):
            self._git(b"")
        else:
            super().do_GET()

    def do_POST(self) -> None:
        self._git(self.rfile.read(int(self.headers["Content-Length"])))

    def _git(self, body: bytes) -> None:
        path, _, query = self.path.partition("?")
        env = {
            "GIT_PROJECT_ROOT": str(self.directory),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        argv = ["git", "-c", "safe.directory=*", "http-backend"]
        done = subprocess.run(argv, input=body, env=process.environment(env), capture_output=True, timeout=60)
        head, _, answer = done.stdout.partition(b"\r\n\r\n")
        self.send_response(200)
        for line in head.decode().splitlines():
            name, _, value = line.partition(": ")
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "site"
    folder.mkdir()
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))
    ) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
    Handler.faults = set()


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The machine's program, with its folders below tmp_path, and without a pause before it tries again."""
    module = machine_program.program("preload/preload.py")
    (tmp_path / "GUEST").mkdir()
    monkeypatch.setattr(module, "GUEST", tmp_path / "GUEST")
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "notebooks").mkdir()
    return module


def config(tmp_path: Path, *fetched: dict[str, Any], encoded: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "user": pwd.getpwuid(os.getuid()).pw_name,
        "folder": str(tmp_path / "notebooks"),
        "preload": {"encoded": list(encoded), "fetched": list(fetched)},
    }


def test_files_are_written_once(program: ModuleType, tmp_path: Path) -> None:
    source, target = tmp_path / "GUEST/notebooks/a/b", tmp_path / "notebooks/a/b"
    source.mkdir(parents=True)
    (source / "x.ipynb").write_text("{}")
    (source / "x.png").write_bytes(base64.encodebytes(b"\0\xff"))
    settings = config(tmp_path, encoded=("a/b/x.png",))
    program.step(settings)
    assert (target / "x.png").read_bytes() == b"\0\xff" and (target / "x.ipynb").read_text() == "{}"
    (target / "x.ipynb").write_text("the user's")
    program.step(settings)
    assert (target / "x.ipynb").read_text() == "the user's"


def repository(folder: Path) -> str:
    """Make a repository in `folder` with two commits; return the first one."""
    git = ["git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x@example.com"]
    process.run(["git", "init", "--quiet", folder], timeout=60)
    commits = []
    for text in ("first", "second"):
        (folder / "lesson.txt").write_text(text)
        process.run([*git, "add", "-A"], timeout=60)
        process.run([*git, "commit", "--quiet", "-m", text], timeout=60)
        commits.append(process.run([*git, "rev-parse", "HEAD"], timeout=60).stdout.decode().strip())
    return commits[0]


def test_a_git_repository_at_a_commit_after_a_fault(program: ModuleType, tmp_path: Path, site: str) -> None:
    commit = repository(tmp_path / "site/git/course")
    Handler.faults = {"/git/course/.git/info/refs?service=git-upload-pack"}
    item = {"folder": "course", "url": f"{site}/git/course/.git", "pin": commit, "git": True}
    program.step(config(tmp_path, item))
    assert Handler.faults == set()
    assert (tmp_path / "notebooks/course/lesson.txt").read_text() == "first"
    assert not (tmp_path / "notebooks/.preload").exists()


def test_a_tar_with_its_digest(program: ModuleType, tmp_path: Path, site: str) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        entry = tarfile.TarInfo("data-1.0/table.csv")
        entry.size = 3
        tar.addfile(entry, io.BytesIO(b"1,2"))
    (tmp_path / "site/data.tar.gz").write_bytes(packed.getvalue())
    Handler.faults = {"/data.tar.gz"}
    good = hashlib.sha256(packed.getvalue()).hexdigest()
    item = {"folder": "data", "url": f"{site}/data.tar.gz", "pin": good, "git": False}
    program.step(config(tmp_path, item))
    assert (tmp_path / "notebooks/data/table.csv").read_text() == "1,2"
    with pytest.raises(SystemExit, match="SHA-256 is"):
        program.step(config(tmp_path, item | {"folder": "other", "pin": "0" * 64}))
    assert not (tmp_path / "notebooks/other").exists()
