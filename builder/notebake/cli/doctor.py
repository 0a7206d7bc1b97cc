"""`notebake doctor`."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from notebake import screen
from notebake.cli import options

if TYPE_CHECKING:
    from notebake.doctor.examine import Finding
    from notebake.doctor.install import Command
    from notebake.doctor.needs import Host

_DEFAULT = ("bake", "launch", "probe")


@click.command("doctor")
@options.spec_file
@click.option(
    "--for", "jobs", multiple=True, metavar="JOB",
    type=click.Choice(["bake", "launch", "probe", "windows", "lint", "ci", "test"]),
    help="Only what JOB needs: bake, launch, probe, windows (its bake), lint and ci (the jobs of a workflow: "
    "checks, bake) or test (this project's tests). Can be repeated. Without it: bake, launch and probe, and "
    "windows where the spec names its ISO.",
)  # fmt: skip
@click.option("--fix", is_flag=True, help="Install what is missing; shows the commands and asks first.")
@click.option("--yes", is_flag=True, help="With --fix: do not ask, and print nothing if nothing is missing.")
@options.as_json
def command(spec_path: Path, jobs: tuple[str, ...], fix: bool, yes: bool, as_json: bool) -> int:
    """Exit code 3 if a tool is missing. If [windows] in the spec names an ISO, it is checked too.

    --fix installs by the host's own package manager. On Debian some programs come from another suite, which
    --fix adds to apt, for these alone: Packer on Debian 13 from bookworm, QEMU and Incus on Debian 12 from
    bookworm-backports.

    \b
    Examples:
      notebake doctor --for bake
      notebake doctor --fix
      notebake doctor --fix --yes --for ci
    """
    from notebake.doctor import install, needs
    from notebake.errors import MissingTool

    release = needs.this_release()
    host = needs.identify(release)
    findings = _examine(jobs, host, spec_path)
    commands = _commands(host, findings)
    if fix and commands:
        _ask(commands, install.suites(findings), yes)
        install.run(commands)
        findings = _examine(jobs, host, spec_path)
        commands = _commands(host, findings)
    missing = [item for item in findings if not item.ok]
    if as_json:
        rows = [dataclasses.asdict(item) for item in findings]
        line = " && ".join(command.shell() for command in commands) or None
        screen.echo(json.dumps({"host": host and host.title, "findings": rows, "fix": line}, indent=2))
    elif missing or not (fix and yes):
        _print(findings)
        if commands:
            screen.echo("\n`notebake doctor --fix` installs what is missing, by:")
            screen.echo("\n".join(f"  {command.shell()}" for command in commands))
    if missing and host is None:
        name = release.get("PRETTY_NAME", f"{sys.platform} without an os-release file")
        raise MissingTool(
            f"{name}: notebake does not know this system's packages",
            f"install by hand: {', '.join(item.what for item in missing)} (it knows {needs.known_hosts()})",
        )
    return MissingTool.exit_code if missing else 0


def _examine(jobs: tuple[str, ...], host: Host | None, spec_path: Path) -> list[Finding]:
    from notebake import paths
    from notebake.doctor import examine

    wanted, media = jobs or _DEFAULT, []
    if spec_path.exists() and (not jobs or "windows" in jobs):
        from notebake.doctor import windows
        from notebake.plan import spec

        given = spec.load(spec_path).windows
        media = windows.examine(given, spec_path.resolve().parent)
        wanted = (*wanted, "windows") if media else wanted
    return [*examine.examine(wanted, host, paths.cache_folder()), *media]


def _commands(host: Host | None, findings: list[Finding]) -> list[Command]:
    from notebake.doctor import install

    if host is None:
        return []
    return install.commands(host, findings, sudo=not install.is_root(), mirror=install.debian_mirror)


def _ask(commands: list[Command], suites: list[str], yes: bool) -> None:
    """Show what will be run and, without `yes`, ask; Abort on no, MissingTool where nobody can be asked."""
    from notebake.errors import MissingTool

    for command in commands:
        screen.echo(f"+ {command.shell()}", err=True)
    if yes:
        return
    if not sys.stdin.isatty():
        raise MissingTool("doctor --fix: cannot ask: standard input is not a terminal", "add --yes")
    if suites:
        screen.echo(f"This adds to apt, for these packages alone: {', '.join(suites)}", err=True)
    click.confirm("Run this?", abort=True, err=True)


def _print(findings: list[Finding]) -> None:
    for item in findings:
        mark, colour = ("–", "yellow") if not item.possible else ("✓", "green") if item.ok else ("✗", "red")
        screen.echo(f"{click.style(mark, fg=colour)} {item.what:<20} {item.detail:<45} for {item.needed_for}")
