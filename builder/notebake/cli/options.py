"""Options and arguments that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from notebake.plan import Plan
    from notebake.spec import Spec


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class TargetName(click.ParamType[str]):
    """A target's name, completed by the shell; that it exists is checked where it is used."""

    name = "target"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from notebake import targets

        return [
            CompletionItem(item.name) for item in targets.all_targets() if item.name.startswith(incomplete)
        ]


class MachineName(click.ParamType[str]):
    """A launched machine's name, completed by the shell."""

    name = "machine"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from notebake import launch

        return [CompletionItem(item.name) for item in launch.machines() if item.name.startswith(incomplete)]


spec_file: Decorator = click.option(
    "-s",
    "--spec",
    "spec_path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("notebake.toml"),
    show_default=True,
    help="The spec.",
)
accel: Decorator = click.option(
    "--accel",
    type=click.Choice(["auto", "kvm", "tcg"]),
    default="auto",
    show_default=True,
    help="auto takes KVM only where the processor shows vmx or svm.",
)
as_json: Decorator = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
catalog: Decorator = click.option(
    "--catalog",
    "url",
    envvar="NOTEBAKE_CATALOG",
    default="catalog",
    show_default=True,
    show_envvar=True,
    help="A folder, or a URL: s3://, gs://, az://, sftp://; https:// to read only.",
)
key: Decorator = click.option(
    "--key",
    "key_path",
    envvar="NOTEBAKE_SIGNING_KEY",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    show_envvar=True,
    help="File of the private key to sign with.",
)


def load(spec_path: Path, target: str) -> tuple[Spec, Plan]:
    """The spec and its plan for `target`."""
    from notebake import plan, spec, targets

    found = spec.load(spec_path)
    return found, plan.make(found, targets.get(target), spec_path.resolve().parent)
