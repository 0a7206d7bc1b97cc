"""Options and arguments that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from notebake.catalog.signing import Signer, Verifier
    from notebake.errors import NotebakeError
    from notebake.plan.plan import Plan
    from notebake.plan.spec import Spec


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class TargetName(click.ParamType[str]):
    """A target's name, completed by the shell; that it exists is checked where it is used."""

    name = "target"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from notebake.plan import targets

        return [
            CompletionItem(item.name) for item in targets.all_targets() if item.name.startswith(incomplete)
        ]


class MachineName(click.ParamType[str]):
    """A launched machine's name, completed by the shell."""

    name = "machine"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from notebake.machines import lifecycle

        return [
            CompletionItem(item.name) for item in lifecycle.machines() if item.name.startswith(incomplete)
        ]


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
_identity = (
    click.option(
        "--identity",
        envvar="NOTEBAKE_IDENTITY",
        show_envvar=True,
        help="Instead of a key, by sigstore: the job that signs, "
        "as in https://github.com/me/images/.github/workflows/images.yml@refs/heads/main.",
    ),
    click.option(
        "--issuer",
        envvar="NOTEBAKE_ISSUER",
        show_envvar=True,
        help="Who vouches for that identity, as in https://token.actions.githubusercontent.com.",
    ),
    click.option(
        "--trust-config",
        "trust",
        envvar="NOTEBAKE_TRUST_CONFIG",
        type=click.Path(path_type=Path, dir_okay=False),
        show_envvar=True,
        help="sigstore's client trust config of services of your own.",
    ),
)


def _maker(name: str, option: str, variable: str, key_help: str) -> Decorator:
    """Gives the command a `name`, signer or verifier: of the key in a file, or of a CI's identity."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def made(
            *args: Any, key_path: Path | None, identity: str | None, issuer: str | None, trust: Path | None, **more: Any
        ) -> Any:  # fmt: skip
            if key_path is not None and identity is None:
                maker = _by_key(name, key_path)
            elif identity is not None and key_path is None:
                maker = _by_identity(name, identity, issuer, trust)
            else:
                raise _one_of_both(option)
            return command(*args, **more, **{name: maker})

        key = click.option(
            option,
            "key_path",
            envvar=variable,
            type=click.Path(path_type=Path, dir_okay=False),
            show_envvar=True,
            help=key_help,
        )
        for add in (*reversed(_identity), key):
            made = add(made)
        return made

    return decorate


signer = _maker("signer", "--key", "NOTEBAKE_SIGNING_KEY", "File of the private key to sign with.")
verifier = _maker(
    "verifier",
    "--public-key",
    "NOTEBAKE_PUBLIC_KEY",
    "File of the makers' public key: nothing else is needed.",
)


def _by_key(name: str, path: Path) -> Signer | Verifier:
    from notebake.catalog import signing

    return signing.private_key(path) if name == "signer" else signing.public_key(path)


def _by_identity(name: str, identity: str, issuer: str | None, trust: Path | None) -> Signer | Verifier:
    from notebake.errors import MissingTool, SpecError

    if issuer is None:
        raise SpecError(
            "--identity: needs the --issuer that vouches for it",
            "of GitHub: https://token.actions.githubusercontent.com, of GitLab: https://gitlab.com",
        )
    try:
        from notebake.catalog.keyless import Identity, Keyless
    except ModuleNotFoundError:
        raise MissingTool("--identity: needs sigstore", "pip install 'notebake[sigstore]'") from None
    maker = Identity(identity=identity, issuer=issuer, trust=trust)
    return Keyless(verifier=maker) if name == "signer" else maker


def _one_of_both(option: str) -> NotebakeError:
    from notebake.errors import SpecError

    return SpecError(
        f"{option} FILE, or --identity with --issuer: one of both is needed",
        "`notebake catalog key` makes a pair of keys; a CI service that knows sigstore offers an identity",
    )


def load(spec_path: Path, target: str) -> tuple[Spec, Plan]:
    """The spec and its plan for `target`."""
    from notebake.plan import plan, spec, targets

    found = spec.load(spec_path)
    folder = spec_path.resolve().parent
    return found, plan.make(found, targets.get(target), folder, now=datetime.now(UTC))
