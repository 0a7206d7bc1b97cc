"""Options and arguments that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from notebake.keyless import Identity
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
_by_identity = (
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


def signer(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives the command a `signer`: of a private key, or of the CI's identity."""

    @functools.wraps(command)
    def with_signer(
        *args: Any,
        key_path: Path | None,
        identity: str | None,
        issuer: str | None,
        trust: Path | None,
        **more: Any,
    ) -> Any:
        maker = _maker("--key", key_path, identity, issuer, trust)
        if maker is None:
            from notebake import signing

            assert key_path is not None
            return command(*args, signer=signing.private_key(key_path), **more)
        from notebake.keyless import Keyless

        return command(*args, signer=Keyless(verifier=maker), **more)

    return _with(
        with_signer,
        click.option(
            "--key",
            "key_path",
            envvar="NOTEBAKE_SIGNING_KEY",
            type=click.Path(path_type=Path, dir_okay=False),
            show_envvar=True,
            help="File of the private key to sign with.",
        ),
        *_by_identity,
    )


def verifier(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives the command a `verifier`: of a public key, or of a CI's identity."""

    @functools.wraps(command)
    def with_verifier(
        *args: Any,
        public_key: Path | None,
        identity: str | None,
        issuer: str | None,
        trust: Path | None,
        **more: Any,
    ) -> Any:
        maker = _maker("--public-key", public_key, identity, issuer, trust)
        if maker is None:
            from notebake import signing

            assert public_key is not None
            return command(*args, verifier=signing.public_key(public_key), **more)
        return command(*args, verifier=maker, **more)

    return _with(
        with_verifier,
        click.option(
            "--public-key",
            type=click.Path(path_type=Path, dir_okay=False),
            envvar="NOTEBAKE_PUBLIC_KEY",
            show_envvar=True,
            help="File of the makers' public key: nothing else is needed.",
        ),
        *_by_identity,
    )


def _with(command: Callable[..., Any], *decorators: Decorator) -> Callable[..., Any]:
    for decorate in reversed(decorators):
        command = decorate(command)
    return command


def _maker(
    option: str, path: Path | None, identity: str | None, issuer: str | None, trust: Path | None
) -> Identity | None:
    """Who signs, when it is an identity; None when it is the key in `path`. Raises SpecError, MissingTool."""
    from notebake.errors import MissingTool, SpecError

    if (path is None) == (identity is None):
        raise SpecError(
            f"{option} FILE, or --identity with --issuer: one of both is needed",
            "`notebake catalog key` makes a pair of keys; a CI service that knows sigstore offers an identity",
        )
    if identity is None:
        return None
    if issuer is None:
        raise SpecError(
            "--identity: needs the --issuer that vouches for it",
            "of GitHub: https://token.actions.githubusercontent.com, of GitLab: https://gitlab.com",
        )
    try:
        from notebake.keyless import Identity
    except ModuleNotFoundError:
        raise MissingTool("--identity: needs sigstore", "pip install 'notebake[sigstore]'") from None
    return Identity(identity=identity, issuer=issuer, trust=trust)


def load(spec_path: Path, target: str) -> tuple[Spec, Plan]:
    """The spec and its plan for `target`."""
    from notebake import plan, spec, targets

    found = spec.load(spec_path)
    return found, plan.make(found, targets.get(target), spec_path.resolve().parent)
