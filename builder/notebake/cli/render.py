"""`notebake render`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from notebake import screen
from notebake.cli import options

if TYPE_CHECKING:
    from notebake.render.include import Include


@click.command("render")
@click.argument("target", type=options.TargetName())
@options.spec_file
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write.  [default: rendered/TARGET]",
)
@click.option(
    "--cloud",
    "clouds",
    multiple=True,
    type=click.Choice(["aws", "azure", "gcp", "openstack", "local"]),
    help="Check the user-data size limit of this cloud; may be given several times.  [default: all]",
)
@click.option(
    "--include",
    "include_url",
    metavar="URL",
    help="Write the large part to include/, to be hosted at this URL (with / at its end: in this folder), "
    "and user-data that fetches it. For specs that are over a cloud's limit.",
)
@click.option(
    "--upload",
    metavar="FOLDER|URL",
    help="Copy the large part to this folder: s3://, gs://, az://, sftp:// or a local one.",
)
@click.option("--hostname", help="Host name in meta-data.  [default: assigned by the cloud]")
@click.option(
    "--builder",
    type=click.Choice(["qemu", "hyperv-iso", "azure-arm", "amazon-ebs", "googlecompute"]),
    default="qemu",
    show_default=True,
    help="Packer builder of the template in packer/. Linux targets have qemu only.",
)
@click.option(
    "--ssh-key",
    "ssh_keys",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Public key file for the user, in meta-data; may be given several times.",
)
@click.option(
    "--admin-password-stdin",
    is_flag=True,
    help="Windows: read the user's password from the first line of standard input, into meta-data.",
)
@click.option(
    "--build-password-stdin",
    is_flag=True,
    help="Windows: read the password for `packer build` by hand from the next line of standard input.",
)
def command(
    target: str, spec_path: Path, output: Path | None, clouds: tuple[str, ...], include_url: str | None,
    upload: str | None, hostname: str | None, builder: str, ssh_keys: tuple[Path, ...],
    admin_password_stdin: bool, build_password_stdin: bool,
) -> None:  # fmt: skip
    """The files are user-data, user-data.yaml, meta-data, seed.iso and packer/. user-data is gzipped, as the
    clouds accept it; user-data.yaml is the same text, readable. terraform/aws/ is a module for Terraform and
    OpenTofu that starts machines in EC2. Windows has separate files for each cloud, in aws/, azure/ and gcp/,
    and user-data for cloudbase-init.

    The same spec, lock and mirrors give the same bytes. Files with a password are readable by you only.

    \b
    Examples:
      notebake render debian-13 --cloud aws
      notebake render windows-2025 --ssh-key id.pub --admin-password-stdin < secret.txt
      notebake render debian-13 --include https://files.example.org/notebake/
      notebake render debian-13 --include https://b.s3.amazonaws.com/ --upload s3://b
    """
    from notebake.cli import prompt
    from notebake.errors import SpecError
    from notebake.files import write_folder
    from notebake.render import output as render_output
    from notebake.render import user_data, windows

    if upload is not None and include_url is None:
        raise SpecError("--upload requires --include", "machines fetch it over http(s): --include URL")
    _, plan = options.load(spec_path, target)
    if not plan.target.is_windows and (builder != "qemu" or admin_password_stdin or build_password_stdin):
        raise SpecError(
            f"{target}: --builder, --admin-password-stdin and --build-password-stdin are for Windows",
            "on Linux --ssh-key gives the user a key",
        )
    if build_password_stdin and builder not in ("qemu", "hyperv-iso"):
        raise SpecError(f"--build-password-stdin: {builder} makes its own password", "leave the option out")

    def password(asked: bool, option: str) -> str | None:
        return prompt.read(option, hint=f"echo PASSWORD | notebake render {target} ...") if asked else None

    access = render_output.Access(
        public_keys=tuple(path.read_text().strip() for path in ssh_keys),
        password=password(admin_password_stdin, "--admin-password-stdin"),
    )
    output = output or Path("rendered") / target
    for state in output.glob("terraform/*/terraform.tfstate*"):
        raise SpecError(
            f"{state}: rendering again would delete Terraform's state",
            "move the module's folder elsewhere first",
        )
    rendered = render_output.render(
        plan,
        clouds=clouds or tuple(user_data.LIMITS),
        hostname=hostname,
        access=access,
        builder=builder,
        build_password=password(build_password_stdin, "--build-password-stdin"),
        include_url=include_url,
    )
    write_folder(output, rendered.files)
    if rendered.included is not None:
        _host(rendered.included, output, upload)
    size, limit = user_data.sizes(rendered.user_data)["aws"]
    screen.echo(f"{output}: user-data is {size:,} bytes (limit on EC2: {limit:,})")
    if plan.target.is_windows:
        screen.echo("the machine's fingerprint and token, once it is ready:")
        for cloud in clouds or windows.CONSOLES:
            if cloud in windows.CONSOLES:
                screen.echo(f"  {cloud}: {windows.CONSOLES[cloud]}")


def _host(included: Include, output: Path, upload: str | None) -> None:
    """Copy the file to where it is to be hosted, or say that the user must."""
    from notebake.catalog.storage import Storage

    file = included.file
    if upload is None:
        screen.echo(f"{output / 'include' / file.path}: host it at {included.url}")
        return
    Storage(upload).write(file.path, file.data)
    screen.echo(f"{upload.rstrip('/')}/{file.path}: uploaded; machines fetch {included.url}")
