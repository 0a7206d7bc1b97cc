"""The command `notebake`. Only this module turns errors into messages and exit codes.

It imports a command only to call it or to show its help, so that `notebake --help` and completion are fast.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from types import FrameType
from typing import Any, NoReturn

import click

from notebake import screen
from notebake.errors import NotebakeError

# Section of the help -> command -> summary. A command's docstring continues its summary.
SECTIONS = {
    "Start": {
        "init": "Write a commented notebake.toml.",
        "passwd": "Set the password in notebake.toml, or of launched machines.",
        "targets": "List the supported operating systems.",
        "lock": "Lock the Python packages or the base images, with hashes.",
    },
    "Build": {
        "plan": "Show a target's inputs and whether its image is up to date.",
        "render": "Write a target's user-data, seed and Packer template.",
        "bake": "Bake a golden image with Packer.",
    },
    "Run": {
        "launch": "Start a machine from an image, or with user-data only.",
        "adopt": "Pin a machine that was launched by other means.",
        "ps": "List the launched machines.",
        "logs": "Print the console logs of machines.",
        "backup": "Save a machine's notebooks, packages and settings in a file.",
        "restore": "Put a backup's files on a machine.",
        "ssh": "Log in to a machine, or run a command on it.",
        "probe": "Check that a machine serves notebooks.",
        "stop": "Stop machines and keep their disks.",
        "start": "Start stopped machines.",
        "restart": "Stop machines and start them again.",
        "delete": "Delete machines with their disks.",
    },
    "Publish": {
        "catalog": "Manage the image catalog: add, list, show, verify, prune.",
        "diff": "Compare two images and show the resulting version bump.",
        "promote": "Promote a version that passed its probe to a channel.",
        "rollback": "Point a channel back to its previous version.",
        "export": "Convert an image for a cloud, with commands to import it.",
        "report": "Write an HTML report on an image, or on the whole catalog.",
        "ci": "Write a CI workflow that bakes, probes and promotes images.",
    },
    "Tools": {
        "doctor": "List missing tools and the command that installs them.",
        "schema": "Print the JSON schema of notebake.toml, or of a record.",
        "completion": "Print the completion script for a shell.",
    },
}
SUMMARIES = {name: summary for commands in SECTIONS.values() for name, summary in commands.items()}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(SUMMARIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in SUMMARIES:
            return None
        import inspect  # slow: only for a command, not for the list of them

        command = importlib.import_module(f"notebake.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        details = inspect.cleandoc(command.callback.__doc__ or "")
        command.help = f"{SUMMARIES[cmd_name]}\n\n{details}".rstrip()
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, SUMMARIES))
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                # Padded names align the summaries of all sections.
                formatter.write_dl([(f"{name:<{width}}", summary) for name, summary in commands.items()])


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
    First steps:
      notebake init
      notebake bake debian-13
      notebake launch --image baked/debian-13.qcow2
    """,
)
@click.version_option(package_name="notebake")
def cli() -> None:
    """Build, launch and verify virtual machines that serve Jupyter over HTTPS, from one TOML file."""


def _terminate(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _check_encodable(arg: str) -> None:
    """Raise UsageError for what no program can be given as an argument, nor a file as its name."""
    try:
        encodable = b"\0" not in os.fsencode(arg)
    except UnicodeEncodeError:
        encodable = False
    if not encodable:
        raise click.UsageError(f"an argument is no text: {arg!r}")


def _fail(message: str, hint: str | None, exit_code: int) -> NoReturn:
    from notebake.cli import options  # the help needs none of what it imports

    options.show_error(message, hint)
    sys.exit(exit_code)


def main(args: list[str] | None = None) -> Any:
    """Run the command line `args` (default: that of the process) and exit with the command's exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    screen.accept_any_text()
    try:
        for arg in args or ():
            _check_encodable(arg)
        result = cli.main(args=args, prog_name="notebake", standalone_mode=False)
        sys.exit(result if isinstance(result, int) else 0)
    except NotebakeError as error:
        _fail(error.message, error.hint, error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.UsageError as error:
        # click's messages are sentences, ours are not.
        message = error.format_message().rstrip(".")
        command = error.ctx.command_path if error.ctx else "notebake"
        _fail(message[:1].lower() + message[1:], f"see `{command} --help`", error.exit_code)
    except (KeyboardInterrupt, click.exceptions.Abort):
        screen.echo("stopped", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        # A full disk or a missing permission, in any step.
        file = f"{error.filename}: " if error.filename else ""
        _fail(f"{file}{error.strerror or error}", None, 4)
