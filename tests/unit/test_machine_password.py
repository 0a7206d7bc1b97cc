"""Another password for a launched machine: how its hash gets there, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.conftest import Run
from tests.unit.test_cli_machines import a_machine

from notebake import process
from notebake.machines import lifecycle
from notebake.machines import machine as record
from notebake.machines.machine import Machine
from notebake.machines.programs import password as password_program
from notebake.probe import launched
from notebake.process import Completed

NEW = "another long sentence"


@pytest.fixture
def sent(lab: Machine, monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], bytes]]:
    """What `passwd` sends to machines; log-ins work at once."""
    calls: list[tuple[list[str], bytes]] = []

    def ssh(argv: list[str], *, timeout: float, stdin: bytes, check: bool) -> Completed:
        calls.append((argv, stdin))
        return Completed(argv=tuple(argv), returncode=0, stdout=b"")

    monkeypatch.setattr(process, "run", ssh)
    monkeypatch.setattr(launched, "wait_for_password", lambda machine, password, seconds: None)
    return calls


def test_passwd_sends_the_hash_through_standard_input_only(
    run: Run, sent: list[tuple[list[str], bytes]]
) -> None:
    assert lifecycle.token(record.load("lab")) == "ab" * 24
    code, out, err = run("passwd", "lab", "--yes", "--password-stdin", stdin=f"{NEW}\n")
    ((argv, stdin),) = sent
    assert code == 0 and "lab: password changed" in out
    hashed = stdin.decode().removeprefix(Path(password_program.__file__).read_text())
    assert hashed.startswith("argon2:$argon2id$") and NEW not in stdin.decode()
    assert not any("argon2:$" in word or NEW in word for word in argv) and NEW not in out + err
    assert lifecycle.token(record.load("lab")) is None, "the old token is offered"


def test_passwd_takes_patterns_and_each_machine_has_a_salt_of_its_own(
    run: Run, sent: list[tuple[list[str], bytes]]
) -> None:
    for name in ("class-1", "class-2"):
        a_machine(name).ssh.key.touch()
    code, out, _ = run("passwd", "class-*", "--yes", "--password-stdin", "--json", stdin=f"{NEW}\n")
    assert code == 0 and json.loads(out) == [{"name": "class-1"}, {"name": "class-2"}]
    assert len({stdin for _, stdin in sent}) == 2


@pytest.mark.parametrize(
    ("args", "stdin", "says"),
    [
        (["lab"], f"{NEW}\n", "--yes restarts without asking"),
        (["lab", "--yes"], "password\n", "too weak"),
        (["lab", "--yes"], "\n", "the password is empty"),
        (["lab", "--spec", "other.toml"], f"{NEW}\n", "cannot be used together"),
        (["nobody"], f"{NEW}\n", "no such machine"),
        (["--yes"], f"{NEW}\n", "--yes: only for launched machines"),
        (["--json"], f"{NEW}\n", "--json: only for launched machines"),
    ],
)
def test_passwd_refuses_before_it_sends(
    run: Run, sent: list[tuple[list[str], bytes]], args: list[str], stdin: str, says: str
) -> None:
    code, _, err = run("passwd", *args, "--password-stdin", stdin=stdin)
    assert code == 2 and says in err and not sent
    assert run("passwd", "lab", "--yes", "--weak", "--password-stdin", stdin="password\n")[0] == 0


def test_the_hash_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"user": "u", "password": None, "own": ["ä"]}))
    config.chmod(0o600)
    password_program.replace(config, "argon2:x")
    assert json.loads(config.read_text()) == {"user": "u", "password": "argon2:x", "own": ["ä"]}
    assert config.stat().st_mode & 0o777 == 0o600 and list(tmp_path.iterdir()) == [config]
