"""`notebake probe`."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import click

from notebake import screen
from notebake.cli import options, prompt, selection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from notebake.machines.wait import Watch
    from notebake.probe.report import Report, Result
    from notebake.progress import Steps


# Memory that one of several probes needs at the same time (MiB).
_PROBE_MIB = 50
_BROWSER_MIB = 500


@click.command("probe")
@click.argument("places", nargs=-1, metavar="[NAME|PATTERN|ADDRESS]...", type=options.MachineName())
@selection.everything
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--token-stdin", is_flag=True, help="Read the token from standard input.")
@click.option("--fingerprint", help="SHA-256 of the certificate to pin (known for a launched machine).")
@click.option(
    "--image",
    "image_path",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="The image that the machine at an address was made from (known for a launched machine).",
)
@click.option("--profile", default=None, help="Name of the kernel and profile.  [default: nbserver]")
@click.option("--check", "checks", multiple=True, help="Run only this check; may be given several times.")
@click.option("--browser", is_flag=True, help="Also test in a real browser (Chromium).")
@click.option(
    "--screenshots",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the browser's screenshots; each of several has its own.  [default: screenshots]",
)
@click.option(
    "--junit", type=click.Path(path_type=Path, dir_okay=False), help="Write a JUnit XML report to this file."
)
@click.option(
    "--timeout-scale",
    type=options.Number(0.1, 100),
    default=1.0,
    show_default=True,
    help="Multiply all timeouts by this factor.",
)
@options.as_json
def command(
    places: tuple[str, ...], everything: bool, password_stdin: bool, token_stdin: bool,
    fingerprint: str | None, image_path: Path | None, profile: str | None, checks: tuple[str, ...],
    browser: bool, screenshots: Path | None, junit: Path | None, timeout_scale: float, as_json: bool,
) -> int:  # fmt: skip
    """NAME is a launched machine, ADDRESS any host and port. On a launched machine the probe also runs
    commands inside, kills the server and reboots. Exit code 6 if a check failed.

    Several machines are probed at the same time, each with all checks; the table has one line for each.

    \b
    Examples:
      notebake probe debian-13-1 --password-stdin < secret.txt
      notebake probe https://198.51.100.7/ --fingerprint AB:CD:... --password-stdin
      notebake probe 'class-*' --junit class.xml
    """
    from notebake import terminal
    from notebake.errors import CheckFailed, SpecError
    from notebake.files import sha256, write_whole
    from notebake.machines import many
    from notebake.probe import launched, report, run
    from notebake.progress import Steps

    if password_stdin and token_stdin:
        raise click.UsageError("--password-stdin and --token-stdin cannot be used together")
    names = _names(places, everything)
    if len(names) > 1 and (fingerprint or token_stdin or image_path):
        option = "--fingerprint" if fingerprint else "--token-stdin" if token_stdin else "--image"
        raise SpecError(f"{option} is for one machine", "launched machines need neither: both are known")
    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else None
    token = sys.stdin.readline().strip() if token_stdin else None
    asked = cache(lambda: prompt.ask("Password", hint="use --password-stdin or --token-stdin"))
    image = sha256(image_path) if image_path else None
    subjects = {
        name: launched.subject(
            name,
            password=password,
            token=token,
            fingerprint=fingerprint,
            profile=profile,
            timeout_scale=timeout_scale,
            ask=asked,
            image=image,
        )
        for name in names
    }

    def probe(name: str, steps: Steps, _: type[Watch]) -> Report:
        # The browser first: the last checks kill the server and reboot the machine.
        browser_results: Sequence[Result] = ()
        if browser:
            from notebake.probe.browser import visit

            folder = screenshots or Path("screenshots")
            browser_results = visit(
                subjects[name],
                screenshots=folder if len(names) == 1 else folder / name,
                timeout_s=600 * timeout_scale,
                steps=steps,
            )
        found = run.run(subjects[name], started=datetime.now(UTC), checks=checks or None, steps=steps)
        return found.plus(browser_results)

    limit = many.at_once(_BROWSER_MIB if browser else _PROBE_MIB)
    reports, failed = many.each(names, probe, title="probe", limit=limit, steps=Steps())
    if junit:
        write_whole(junit, report.junit(list(reports.values())))
    if as_json and len(names) > 1:
        found = [{"machine": name, **each.to_dict()} for name, each in reports.items()]
        screen.echo(json.dumps(found, indent=2, ensure_ascii=False))
    elif as_json:
        screen.echo(reports[names[0]].to_json())
    elif len(names) > 1:
        terminal.console().print(report.summary(reports))
    else:
        terminal.console().print(reports[names[0]].table())
    code = selection.show(failed)
    return code or (0 if all(each.passed for each in reports.values()) else CheckFailed.exit_code)


def _names(places: Sequence[str], everything: bool) -> list[str]:
    """The machines and addresses to probe, each once."""
    from notebake.errors import SpecError
    from notebake.machines import lifecycle

    if everything == bool(places):
        raise SpecError(
            "give the name of a machine, a pattern such as 'class-*', an address, or --all",
            "`notebake ps` lists the machines",
        )
    if everything:
        names = [machine.name for machine in lifecycle.machines()]
        if not names:
            raise SpecError("there is no machine to probe", "`notebake launch` makes one")
        return names
    found = [
        name
        for place in places
        for name in (
            [machine.name for machine in lifecycle.find([place])] if lifecycle.is_pattern(place) else [place]
        )
    ]
    return list(dict.fromkeys(found))
