"""The password prompt at a real terminal: twice, without echo."""

from __future__ import annotations

import base64
import os
import pty
import select
import signal
import sys
import tomllib
from pathlib import Path

import pytest

from notebake.plan import password as passwords


def converse(folder: Path, command: str, answers: list[tuple[str, str]]) -> tuple[int, str]:
    """Run a command and type each answer at its prompt; return exit code and the terminal's output."""
    pid, terminal = pty.fork()
    if pid == 0:
        # A background job of a shell ignores Ctrl-C, and so do its children.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.chdir(folder)
        os.execv(
            sys.executable, [sys.executable, "-c", "from notebake.cli.main import main; main()", command]
        )
    seen = rest = ""
    while True:
        assert select.select([terminal], [], [], 60)[0], f"it waits for an answer: {seen}"
        try:
            rest += (read := os.read(terminal, 4096).decode())
        except OSError:  # the other end is closed
            break
        seen += read
        if answers and answers[0][0] in rest:
            os.write(terminal, answers[0][1].encode() + b"\n")
            answers, rest = answers[1:], ""
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), seen


def kept(folder: Path) -> str | None:
    password: str | None = tomllib.loads((folder / "notebake.toml").read_text())["notebook"].get("password")
    return password


def is_hash_of(password: str, hashed: str | None) -> bool:
    assert hashed is not None
    return hashed == passwords.password_hash(password, salt=base64.b64decode(hashed.split("$")[-2] + "=="))


def test_init_and_passwd_ask_twice_and_show_no_password(tmp_path: Path) -> None:
    wrong = [
        ("Password", "seven green hunters"),
        ("Repeat", "eight green hunters"),
        ("Password", "seven green hunters"),
        ("Repeat", "seven green hunters"),
    ]
    code, seen = converse(tmp_path, "init", wrong)
    assert code == 0 and "do not match" in seen and "hunter" not in seen
    assert is_hash_of("seven green hunters", kept(tmp_path))
    code, seen = converse(
        tmp_path, "passwd", [("Password", "another long sentence"), ("Repeat", "another long sentence")]
    )
    assert code == 0 and "another long sentence" not in seen
    assert is_hash_of("another long sentence", kept(tmp_path))
    assert converse(tmp_path, "passwd", [("Password", ""), ("Repeat", "")])[0] == 0
    assert kept(tmp_path) is None


@pytest.mark.parametrize("command", ["init", "passwd"])
def test_ctrl_c_changes_nothing(command: str, tmp_path: Path) -> None:
    if command == "passwd":
        (tmp_path / "notebake.toml").write_text("[notebook]\n")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    code, _ = converse(tmp_path, command, [("Password", "half\x03")])
    assert code == 130
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
