"""What is told of launched machines: where each is, its fingerprint, how to log in. As text, JSON or CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from notebake import screen

if TYPE_CHECKING:
    from notebake.machines.machine import Machine

COLUMNS = ("name", "url", "fingerprint", "login", "ssh")


def rows(machines: Sequence[Machine]) -> list[tuple[str, ...]]:
    """Return a row of COLUMNS for each machine; `login` is its token, a secret, or the word password."""
    from notebake.machines.lifecycle import token

    return [
        (item.name, item.url, item.fingerprint or "", token(item) or "password", f"notebake ssh {item.name}")
        for item in machines
    ]


def as_csv(machines: Sequence[Machine]) -> str:
    """Return the rows as CSV (RFC 4180, but with a single newline) with a header."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows(machines)])
    return text.getvalue()


def as_object(machine: Machine) -> dict[str, str | None]:
    """Return a machine for JSON; `token` is None when it has a password."""
    from notebake.machines.lifecycle import token

    return {
        "name": machine.name,
        "url": machine.url,
        "fingerprint": machine.fingerprint,
        "token": token(machine),
        "ssh": f"notebake ssh {machine.name}",
    }


def deliver(machines: Sequence[Machine], *, csv_path: str | None, as_json: bool, several: bool) -> None:
    """Print or write the machines in the form that was asked for, by default as text.

    `several`: a table or a list, even when it is only one machine. Raises CommandFailed.
    """
    from notebake.files import write_whole

    if csv_path == "-":
        screen.echo(as_csv(machines), nl=False)
    elif csv_path is not None:
        write_whole(Path(csv_path), as_csv(machines).encode(), 0o600)
        screen.echo(f"wrote {csv_path}", err=True)
    if as_json:
        found = [as_object(machine) for machine in machines]
        screen.echo(json.dumps(found if several else found[0], indent=2))
    elif csv_path is None and several:
        _print_table(machines)
    elif csv_path is None:
        _print_text(machines[0])


def _print_table(machines: Sequence[Machine]) -> None:
    from notebake import terminal

    table = terminal.table("machine", "address", "certificate SHA256", "log in with", "ssh")
    for row in rows(machines):
        table.add_row(*row)
    terminal.console().print(table)


def _print_text(machine: Machine) -> None:
    secret = as_object(machine)["token"]
    screen.echo(f"\n{machine.name} serves notebooks at {machine.url}")
    screen.echo(f"  certificate  SHA256 {machine.fingerprint}")
    screen.echo(f"  log in with  {f'the token {secret}' if secret else 'your password'}")
    commands = " | ".join(f"notebake {command} {machine.name}" for command in ("probe", "ssh", "stop"))
    screen.echo(f"  next         {commands}")
