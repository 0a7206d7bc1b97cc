"""`notebake probe`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from notebake.cli import options, prompt


@click.command("probe")
@click.argument("where", metavar="MACHINE|ADDRESS", type=options.MachineName())
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--token-stdin", is_flag=True, help="Read the token from standard input.")
@click.option("--fingerprint", help="SHA-256 of the certificate to pin (known for a launched machine).")
@click.option("--profile", default=None, help="Name of the kernel and profile.  [default: nbserver]")
@click.option("--check", "checks", multiple=True, help="Run only this check; may be given several times.")
@click.option("--browser", is_flag=True, help="Also test in a real browser (Chromium).")
@click.option(
    "--screenshots",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the browser's screenshots.  [default: screenshots]",
)
@click.option(
    "--junit", type=click.Path(path_type=Path, dir_okay=False), help="Write a JUnit XML report to this file."
)
@click.option(
    "--timeout-scale",
    type=click.FloatRange(0.1, 100),
    default=1.0,
    show_default=True,
    help="Multiply all timeouts by this factor.",
)
@options.as_json
def command(
    where: str, password_stdin: bool, token_stdin: bool, fingerprint: str | None, profile: str | None,
    checks: tuple[str, ...], browser: bool, screenshots: Path | None, junit: Path | None,
    timeout_scale: float, as_json: bool,
) -> int:  # fmt: skip
    """MACHINE is the name of a launched machine, ADDRESS any host and port. On a launched machine the probe
    also runs commands inside, kills the server and reboots. Exit code 6 if a check failed.

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
        raise click.UsageError("--password-stdin and --token-stdin cannot be used together")
    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    if token_stdin:
        token = sys.stdin.readline().strip()
    subject = launched.subject(
        where,
        password=password,
        token=token,
        fingerprint=fingerprint,
        profile=profile,
        timeout_scale=timeout_scale,
        ask=lambda: prompt.ask("Password", hint="use --password-stdin or --token-stdin"),
    )
    steps = Steps()
    # The browser first: the last checks kill the server and reboot the machine.
    browser_results = []
    if browser:
        from notebake.probe.browser import visit

        browser_results = visit(
            subject,
            screenshots=screenshots or Path("screenshots"),
            timeout_s=600 * timeout_scale,
            steps=steps,
        )
    report = run.run(subject, started=datetime.now(UTC), checks=checks or None, steps=steps)
    report = report.plus(browser_results)
    if junit:
        write_whole(junit, report.to_junit())
    if as_json:
        click.echo(report.to_json())
    else:
        terminal.console().print(report.table())
    return 0 if report.passed else CheckFailed.exit_code
