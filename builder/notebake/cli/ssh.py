"""`notebake ssh`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from notebake import screen
from notebake.cli import options, selection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from notebake.machines.wait import Watch
    from notebake.progress import Steps
    from notebake.ssh import Ssh


@click.command("ssh", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("name", type=options.MachineName(), metavar="NAME|PATTERN")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[COMMAND]...")
def command(name: str, words: tuple[str, ...]) -> int:
    """Without a command it logs in. With a pattern it runs the command on each machine at the same time; the
    exit code is the first one that is not 0.

    \b
    Examples:
      notebake ssh debian-13-1 systemctl status notebake-notebook
      notebake ssh 'class-*' uptime
    """
    from notebake.machines import lifecycle

    machines = lifecycle.find([name])
    # As ssh takes it: `notebake ssh NAME -- COMMAND`.
    line = " ".join(words[1:] if words[:1] == ("--",) else words)
    if not lifecycle.is_pattern(name):
        argv = machines[0].ssh.argv(line)
        os.execv(argv[0], argv)
    return _on_each({machine.name: machine.ssh for machine in machines}, line)


def _on_each(machines: Mapping[str, Ssh], line: str) -> int:
    """Run `line` on each, print each output under the machine's name, and return the exit code."""
    from notebake import process
    from notebake.errors import SpecError
    from notebake.machines import many
    from notebake.progress import Steps

    if not line:
        raise SpecError("a pattern needs a command to run", "for example: notebake ssh 'class-*' uptime")

    def work(name: str, steps: Steps, _: type[Watch]) -> process.Completed:
        return process.run(machines[name].argv(line), timeout=None, check=False)

    done, failed = many.each(list(machines), work, title="run on", limit=16, steps=Steps())
    for name, finished in done.items():
        ended = f" (exit code {finished.returncode})" if finished.returncode else ""
        screen.echo(f"==> {name}{ended} <==")
        screen.echo(finished.stdout.decode("utf-8", "replace").rstrip())
    codes = [finished.returncode for finished in done.values() if finished.returncode]
    return selection.show(failed) or next(iter(codes), 0)
