"""Options and arguments that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from notebake import screen

if TYPE_CHECKING:
    from notebake.catalog.signing import Signer, Verifier
    from notebake.errors import NotebakeError
    from notebake.plan.plan import Plan
    from notebake.plan.spec import Spec


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

# A month: no machine and no test takes longer.
MAX_SECONDS = 31 * 24 * 3600
MAX_DAYS = 36500


class Number(click.FloatRange):
    """A number within limits; not NaN, which no limit excludes."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number. Fails for everything else, as click's types do."""
        number = super().convert(value, param, ctx)
        if number != number:
            self.fail(f"{value!r} is not a number", param, ctx)
        return number


class TargetName(click.ParamType[str]):
    """The name of a target, with shell completion. The command checks that the target exists."""

    name = "target"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from notebake.plan import targets

        return [
            CompletionItem(target.name)
            for target in targets.all_targets()
            if target.name.startswith(incomplete)
        ]


class MachineName(click.ParamType[str]):
    """The name of a launched machine, with shell completion."""

    name = "machine"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from notebake.machines import lifecycle

        return [
            CompletionItem(machine.name)
            for machine in lifecycle.machines()
            if machine.name.startswith(incomplete)
        ]


spec_file: Decorator = click.option(
    "-s",
    "--spec",
    "spec_path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("notebake.toml"),
    show_default=True,
    help="The spec file.",
)
accel: Decorator = click.option(
    "--accel",
    type=click.Choice(["auto", "kvm", "hvf", "tcg"]),
    default="auto",
    show_default=True,
    help="Accelerator; auto uses the host's hardware (kvm on Linux, hvf on macOS) if it works, else tcg.",
)
offline: Decorator = click.option(
    "--offline",
    is_flag=True,
    help="Do not read what the package sources offer; take what was read last.",
)
max_age: Decorator = click.option(
    "--max-age",
    metavar="DAYS",
    type=click.IntRange(0, MAX_DAYS),
    default=7,
    show_default=True,
    help="Make a base image that is built on this host again if it is older.",
)
as_json: Decorator = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
catalog: Decorator = click.option(
    "--catalog",
    "url",
    envvar="NOTEBAKE_CATALOG",
    default="catalog",
    show_default=True,
    show_envvar=True,
    help="Folder or URL of the catalog: s3://, gs://, az://, sftp://; https:// is read-only.",
)
SEVERITY = click.Choice(["none", "negligible", "low", "medium", "high", "critical"])
_gate = (
    click.option(
        "--vulnerabilities",
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        help="A scanner's report on the image's SBOM: JSON of grype or osv-scanner, or SARIF.",
    ),
    click.option(
        "--vex",
        multiple=True,
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        help="OpenVEX document: vulnerabilities that do not affect the image. May be repeated.",
    ),
    click.option(
        "--max-severity",
        type=SEVERITY,
        help="Highest severity allowed in the report of --vulnerabilities.  [default: high]",
    ),
)


def gate(command: Callable[..., Any]) -> Callable[..., Any]:
    """Pass `gate` to a command: a Gate of catalog.gate, or None without --vulnerabilities."""

    @functools.wraps(command)
    def decorated(
        *args: Any,
        vulnerabilities: Path | None,
        vex: tuple[Path, ...],
        max_severity: str | None,
        **kwargs: Any,
    ) -> Any:
        from notebake.catalog.gate import Gate
        from notebake.errors import SpecError

        if vulnerabilities is None and (vex or max_severity):
            raise SpecError(
                f"{'--vex' if vex else '--max-severity'}: requires --vulnerabilities",
                "for example: grype sbom:TARGET.cdx.json -o json > vulnerabilities.json",
            )
        gate = Gate(vulnerabilities, vex, max_severity or "high") if vulnerabilities else None
        return command(*args, gate=gate, **kwargs)

    for option in reversed(_gate):
        decorated = option(decorated)
    return decorated


_identity = (
    click.option(
        "--identity",
        envvar="NOTEBAKE_IDENTITY",
        show_envvar=True,
        help="Use sigstore instead of a key: the identity of the CI job that signs, "
        "for example https://github.com/me/images/.github/workflows/images.yml@refs/heads/main.",
    ),
    click.option(
        "--issuer",
        envvar="NOTEBAKE_ISSUER",
        show_envvar=True,
        help="OIDC issuer of the identity, for example https://token.actions.githubusercontent.com.",
    ),
    click.option(
        "--trust-config",
        "trust",
        envvar="NOTEBAKE_TRUST_CONFIG",
        type=click.Path(path_type=Path, dir_okay=False),
        show_envvar=True,
        help="sigstore client trust config (JSON), for your own sigstore services.",
    ),
)


def _key_or_identity(
    name: str, option: str, variable: str, key_help: str, *, required: bool = True
) -> Decorator:
    """Return a decorator that passes `name` ("signer" or "verifier") to a command.

    It is made from the key file of `option`, or from the identity options. If neither is given, that is an
    error, or None unless `required`.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def decorated(
            *args: Any,
            key_path: Path | None,
            identity: str | None,
            issuer: str | None,
            trust: Path | None,
            **kwargs: Any,
        ) -> Any:
            if key_path is not None and identity is None:
                value: Signer | Verifier | None = _by_key(name, key_path)
            elif identity is not None and key_path is None:
                value = _by_identity(name, identity, issuer, trust)
            elif required or key_path is not None:
                raise _not_one_of(option)
            else:
                value = None
            return command(*args, **kwargs, **{name: value})

        key = click.option(
            option,
            "key_path",
            envvar=variable,
            type=click.Path(path_type=Path, dir_okay=False),
            show_envvar=True,
            help=key_help,
        )
        for add in (*reversed(_identity), key):
            decorated = add(decorated)
        return decorated

    return decorate


signer = _key_or_identity("signer", "--key", "NOTEBAKE_SIGNING_KEY", "Private key file to sign with.")
optional_verifier = _key_or_identity(
    "verifier",
    "--public-key",
    "NOTEBAKE_PUBLIC_KEY",
    "Public key file to verify signatures with.  [default: whom `notebake catalog trust` set]",
    required=False,
)


def identity(command: Callable[..., Any]) -> Callable[..., Any]:
    """Pass `identity` to a command: a verifier of that identity, or None."""

    @functools.wraps(command)
    def decorated(
        *args: Any, identity: str | None, issuer: str | None, trust: Path | None, **kwargs: Any
    ) -> Any:
        verifier = None if identity is None else _by_identity("verifier", identity, issuer, trust)
        return command(*args, identity=verifier, **kwargs)

    for option in reversed(_identity):
        decorated = option(decorated)
    return decorated


def _by_key(name: str, path: Path) -> Signer | Verifier:
    from notebake.catalog import signing

    return signing.private_key(path) if name == "signer" else signing.public_key(path)


def _by_identity(name: str, identity: str, issuer: str | None, trust: Path | None) -> Signer | Verifier:
    from notebake.errors import MissingTool, SpecError

    if issuer is None:
        raise SpecError(
            "--identity: requires --issuer",
            "for GitHub: https://token.actions.githubusercontent.com, for GitLab: https://gitlab.com",
        )
    try:
        from notebake.catalog.keyless import Identity, Keyless
    except ModuleNotFoundError:
        raise MissingTool("--identity: requires sigstore", "pip install 'notebake[sigstore]'") from None
    verifier = Identity(identity=identity, issuer=issuer, trust=trust)
    return Keyless(verifier=verifier) if name == "signer" else verifier


def _not_one_of(option: str) -> NotebakeError:
    from notebake.errors import SpecError

    return SpecError(
        f"use either {option} FILE or --identity with --issuer",
        "`notebake catalog key` creates a key pair; in a CI job that supports sigstore, use its identity",
    )


def counted(count: int, noun: str) -> str:
    """Return `1 version`, `2 versions`, `1,000 versions`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def show_error(message: str, hint: str | None) -> None:
    """Print an error and its hint on standard error."""
    screen.labelled("error", "red", message)
    if hint:
        screen.labelled("hint", "yellow", hint)


def load(spec_path: Path, target: str) -> tuple[Spec, Plan]:
    """Read the spec and make its plan for `target`; print what the user should know. Raises SpecError."""
    from notebake.bases import base
    from notebake.plan import plan, spec, targets

    the_spec = spec.load(spec_path)
    folder = spec_path.resolve().parent
    now = datetime.now(UTC)
    made = plan.make(the_spec, targets.get(target), folder, now=now)
    for note in made.sources.notes:
        screen.echo(f"note: {note}", err=True)
    if old := base.warning(made, now):
        screen.labelled("warning", "yellow", old)
    return the_spec, made
