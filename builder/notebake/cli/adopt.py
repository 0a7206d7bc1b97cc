"""`notebake adopt`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from typing import TextIO


@click.command("adopt")
@click.argument("name")
@click.option("--address", "where", required=True, help="https://HOST/, HOST:PORT or HOST (then port 9999).")
@click.option(
    "--console",
    "log",
    required=True,
    metavar="FILE|-",
    type=click.File("r", encoding="utf-8", errors="replace"),
    help="The machine's console log, from its cloud; - is standard input.",
)
@click.option("--user", default="azureuser", show_default=True, help="The user that logs in over ssh.")
@click.option(
    "--key",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Its private key.  [default: no ssh]",
)
def command(name: str, where: str, log: TextIO, user: str, key: Path | None) -> None:
    """The certificate that the machine serves must be the one that its console names. Then ps, probe, logs
    and, with --key, ssh work with it under NAME. stop and start do not; delete only forgets it.

    \b
    Examples:
      aws ec2 get-console-output --latest --output text --instance-id i-0123 |
        notebake adopt lab --address https://198.51.100.7/ --console -
      notebake adopt lab --address https://198.51.100.7/ --console console.log --key ~/.ssh/id_ed25519
    """
    from notebake.address import Address
    from notebake.cli import handout
    from notebake.machines.adopt import adopt

    machine = adopt(name, Address.parse(where), log.read(), user=user, key=key)
    handout.deliver([machine], csv_path=None, as_json=False, several=False)
