"""`notebake completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from notebake import screen


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """\b
    Example:
      notebake completion bash > ~/.local/share/bash-completion/completions/notebake
    """
    from notebake.cli.main import cli

    completion = get_completion_class(shell)
    assert completion is not None
    screen.echo(completion(cli, {}, "notebake", "_NOTEBAKE_COMPLETE").source())
