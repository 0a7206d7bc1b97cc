"""Run one of notebake's programs on a launched machine, over ssh, with sudo."""

from __future__ import annotations

import shlex
from pathlib import Path

from notebake import process
from notebake.errors import CommandFailed, SpecError
from notebake.machines import platforms
from notebake.machines.machine import Machine

_PROGRAMS = Path(__file__).with_name("programs")
_SSH_FAILED = 255


def check(machine: Machine) -> None:
    """Raise SpecError for a machine that no program can be sent to, CommandFailed for one that is off."""
    if machine.target.startswith("windows"):
        raise SpecError(f"{machine.name}: not on Windows", "log in to the machine and do it there")
    if not machine.ssh.key.exists():
        raise SpecError(
            f"{machine.name}: no ssh: its private key is not known",
            f"delete it and pin it again: notebake adopt {machine.name} --key FILE ...",
        )
    if not platforms.look(machine):
        raise CommandFailed(f"{machine.name}: does not run", f"notebake start {machine.name}")


def command(machine: Machine, program: str, *args: str) -> tuple[list[str], bytes]:
    """Return how to run `program`, a module of `programs`, as root on the machine.

    First the command line, then the program, with which its standard input must begin. No secret may be in
    `args`: sudo writes them into the machine's journal, and every user there sees them.
    """
    text = (_PROGRAMS / f"{program}.py").read_bytes()
    load = f"import sys; exec(sys.stdin.buffer.read({len(text)}))"
    words = ["sudo", "-n", "/usr/bin/python3", "-I", "-c", load, *args]
    return machine.ssh.argv(shlex.join(words)), text


def failed(machine: Machine, code: int, output: bytes) -> CommandFailed:
    """Return the error for a program that ended with `code`; its last line says why."""
    reason = process.tail(output, 1).strip() or f"exit code {code}"
    if code == _SSH_FAILED:
        return CommandFailed(
            f"{machine.name}: the connection failed: {reason}", f"try it: notebake ssh {machine.name}"
        )
    return CommandFailed(f"{machine.name}: {reason}", f"look at the machine: notebake ssh {machine.name}")
