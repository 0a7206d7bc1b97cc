"""`notebake passwd`."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from notebake import screen
from notebake.cli import options, prompt, selection

if TYPE_CHECKING:
    from notebake.machines.wait import Watch
    from notebake.progress import Steps

_SECONDS = 120.0  # until a log-in with the new password must succeed


@click.command("passwd")
@selection.names
@options.spec_file
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@options.weak
@click.option("--yes", "-y", is_flag=True, help="Do not ask whether the machines' kernels may end.")
@options.as_json
@click.pass_context
def command(
    context: click.Context, patterns: tuple[str, ...], spec_path: Path, password_stdin: bool, weak: bool,
    yes: bool, as_json: bool,
) -> int:  # fmt: skip
    """Without a name it changes notebake.toml: only the argon2id hash is stored; comments are kept. An empty
    password removes the existing one: each machine then generates a token.

    With names it changes the password of launched machines, over ssh, and restarts their servers: running
    kernels end, and everybody has to log in again, also who used a token. Asks first, unless --yes is given.
    It is in effect when the command ends. Not on Windows. notebake.toml keeps the password of new machines.

    \b
    Examples:
      notebake passwd
      notebake passwd debian-13-1
      notebake passwd 'class-*' --yes --password-stdin < secret.txt
    """
    from notebake.errors import SpecError

    if patterns:
        if context.get_parameter_source("spec_path") is ParameterSource.COMMANDLINE:
            raise SpecError("--spec and a machine's name cannot be used together", "leave out one of them")
        return _of_machines(patterns, password_stdin, weak, yes, as_json)
    if yes or as_json:
        option = "--yes" if yes else "--json"
        raise SpecError(f"{option}: only for launched machines", "add their names; `notebake ps` lists them")
    _in_spec(spec_path, password_stdin, weak)
    return 0


def _in_spec(spec_path: Path, password_stdin: bool, weak: bool) -> None:
    import tomlkit

    from notebake import documents
    from notebake.files import rewrite
    from notebake.plan import password as passwords
    from notebake.plan import spec

    spec.load(spec_path)
    password = prompt.new(from_stdin=password_stdin, weak=weak, hint="use --password-stdin")
    data = spec_path.read_bytes()
    document = documents.editable_toml(data)
    notebook = document.setdefault("notebook", tomlkit.table())
    if password:
        notebook["password"] = passwords.password_hash(password, salt=secrets.token_bytes(16))
    else:
        notebook.pop("password", None)
    text = tomlkit.dumps(document)
    if b"\r\n" in data:  # new lines end as those of the file do
        text = text.replace("\r\n", "\n").replace("\n", "\r\n")
    rewrite(spec_path, text.encode())
    done = "set" if password else "removed; new machines generate a token"
    screen.echo(f"{spec_path}: password {done}. To apply it, bake or launch again.")


def _of_machines(
    patterns: tuple[str, ...], password_stdin: bool, weak: bool, yes: bool, as_json: bool
) -> int:
    """Change the password of each and wait until it logs in; return the exit code."""
    from notebake.errors import SpecError
    from notebake.machines import inside
    from notebake.machines import password as machine_password
    from notebake.plan import password as passwords
    from notebake.probe import launched

    machines = selection.chosen(patterns, everything=False)
    if len(machines) == 1:
        inside.check(machines[0])  # before a person is asked
    listed = ", ".join(machine.name for machine in machines)
    question = f"Restart the notebook server of {listed}; running kernels end"
    if not yes and not prompt.confirm(question, hint="--yes restarts without asking"):
        screen.echo("nothing was changed", err=True)
        return 0
    password = prompt.new(
        from_stdin=password_stdin, weak=weak, hint="use --password-stdin", title="New password"
    )
    if not password:
        raise SpecError("the password is empty", "a running machine cannot go back to a token")
    by_name = {machine.name: machine for machine in machines}
    # Not in the threads of `each`: OpenSSL's Argon2 has lanes of its own, and two at once wait for ever.
    hashes = {name: passwords.password_hash(password, salt=secrets.token_bytes(16)) for name in by_name}

    def work(name: str, steps: Steps, watch: type[Watch]) -> None:
        with steps.step(f"change the password of {name}"):
            machine_password.change(by_name[name], hashes[name])
            launched.wait_for_password(by_name[name], password, _SECONDS)

    done, code = selection.each(machines, work, title="change the password of")
    if as_json:
        screen.echo(json.dumps([{"name": name} for name in done], indent=2))
        return code
    for name in done:
        screen.echo(f"{name}: password changed; everybody has to log in again")
    return code
