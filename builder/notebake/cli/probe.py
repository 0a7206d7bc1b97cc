"""`notebake probe`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from notebake.cli import options, prompt


@click.command("probe")
@click.argument("where", metavar="MACHINE|ADDRESS", type=options.MachineName())
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--token-stdin", is_flag=True, help="Read the token from standard input.")
@click.option("--fingerprint", help="SHA-256 of the certificate to pin (a launched machine has it).")
@click.option("--profile", default=None, help="Kernel and profile.  [default: nbserver]")
@click.option("--check", "checks", multiple=True, help="Only this check; may be given several times.")
@click.option("--browser", is_flag=True, help="Look with a real browser too.")
@click.option(
    "--screenshots",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the browser's pictures.",
)
@click.option(
    "--junit", type=click.Path(path_type=Path, dir_okay=False), help="Write a JUnit XML report here."
)
@click.option(
    "--patience",
    type=click.FloatRange(0.1, 100),
    default=1.0,
    show_default=True,
    help="Multiplies time limits.",
)
@options.as_json
def command(
    where: str, password_stdin: bool, token_stdin: bool, fingerprint: str | None, profile: str | None,
    checks: tuple[str, ...], browser: bool, screenshots: Path | None, junit: Path | None, patience: float, as_json: bool,
) -> int:  # fmt: skip
    """Check that a machine really serves notebooks: a launched MACHINE, or any ADDRESS.

    Of a launched machine it also looks inside, kills the server and reboots. Exit code 6 when a check
    failed.

    \b
    Examples:
      notebake probe debian-13-1 --password-stdin < secret.txt
      notebake probe https://198.51.100.7/ --fingerprint AB:CD:... --password-stdin
    """
    from notebake import terminal
    from notebake.errors import CheckFailed
    from notebake.files import write_whole
    from notebake.probe import launched, run
    from notebake.progress import Steps

    password = token = None
    if password_stdin and token_stdin:
        raise click.UsageError("--password-stdin and --token-stdin exclude each other")
    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    if token_stdin:
        token = sys.stdin.readline().strip()
    known: dict[str, Any] = {"fingerprint": fingerprint, "profile": profile, "patience": patience}
    subject = launched.subject(
        where,
        password=password,
        token=token,
        ask=lambda: prompt.ask("Password", instead="--password-stdin or --token-stdin reads it"),
        **known,
    )
    steps = Steps()
    # The pictures first: the last checks kill the server and reboot the machine.
    seen = []
    if browser:
        from notebake.probe.browser import visit

        seen = visit(
            subject, screenshots=screenshots or Path("screenshots"), timeout_s=600 * patience, steps=steps
        )
    report = run.run(subject, started=datetime.now(UTC), checks=checks or None, steps=steps).plus(seen)
    if junit:
        write_whole(junit, report.to_junit())
    if as_json:
        click.echo(report.to_json())
    else:
        terminal.console().print(report.table())
    return 0 if report.passed else CheckFailed.exit_code
