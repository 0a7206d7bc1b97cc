"""`notebake ssh`."""

from __future__ import annotations

import os

import click

from notebake.cli import options


@click.command("ssh", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("name", type=options.MachineName())
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[COMMAND]...")
def command(name: str, words: tuple[str, ...]) -> None:
    """\b
    Example:
      notebake ssh debian-13-1 systemctl status notebake-notebook
    """
    from notebake.machines import machine

    argv = machine.load(name).ssh.argv(" ".join(words))
    os.execv(argv[0], argv)
