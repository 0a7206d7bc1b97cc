"""The command `notebake`: click only. The one place where errors become messages and exit codes.

Commands are imported when they are called, so that `notebake --help` and completion stay quick.
"""

from __future__ import annotations

import importlib
import signal
import sys
from types import FrameType
from typing import Any

import click

from notebake.errors import NotebakeError

_COMMANDS = {
    "init": "Write a commented notebake.toml.",
    "passwd": "Set the password in notebake.toml (only its hash is kept).",
    "schema": "Print the JSON schema of notebake.toml, or of a record.",
    "targets": "List the systems that machines can be made of.",
    "lock": "Pin the Python packages for each target, with hashes.",
    "plan": "Show what a target would be made of, and whether its image is current.",
    "render": "Write user-data, seed and Packer template for a target.",
    "bake": "Bake a golden image with Packer.",
    "diff": "Show what differs between two images, and the version that follows.",
    "catalog": "Keep images as versions: add, list, show, verify, prune.",
    "promote": "Point a channel to a version whose probe was green.",
    "rollback": "Point a channel back to what it was before.",
    "report": "Write a page about an image: what is in it, what changed, how long it took.",
    "ci": "Write a workflow that bakes, proves and promotes images.",
    "launch": "Start a machine, from an image or with user-data alone.",
    "ps": "List the launched machines.",
    "logs": "Show a machine's console.",
    "ssh": "Log in to a machine, or run a command there.",
    "stop": "Stop machines and remove what they left.",
    "probe": "Check that a machine really serves notebooks.",
    "doctor": "Say what is missing on this computer, and the command that mends it.",
    "completion": "Print the completion script for a shell.",
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command = importlib.import_module(f"notebake.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with: notebake init && notebake bake debian-13 && notebake launch --image baked/debian-13.qcow2",
)
@click.version_option(package_name="notebake")
def cli() -> None:
    """Notebook machines from one short file: golden images and first-boot machines that serve the
    Jupyter notebook over HTTPS on port 9999."""


def _terminate(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(args: list[str] | None = None) -> Any:
    """The console script: runs the command, exits with its code."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        result = cli.main(args=args, prog_name="notebake", standalone_mode=False)
        sys.exit(result if isinstance(result, int) else 0)
    except NotebakeError as error:
        click.echo(f"{click.style('error:', fg='red')} {error.message}", err=True)
        if error.hint:
            click.echo(f"{click.style('hint:', fg='yellow')} {error.hint}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.exceptions.Abort):
        click.echo("stopped", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        # A full disk or a missing right, wherever it struck.
        where = f"{error.filename}: " if error.filename else ""
        click.echo(f"{click.style('error:', fg='red')} {where}{error.strerror or error}", err=True)
        sys.exit(4)
