"""`notebake render`."""

from __future__ import annotations

from pathlib import Path

import click

from notebake.cli import options


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
    target: str,
    spec_path: Path,
    output: Path | None,
    clouds: tuple[str, ...],
    hostname: str | None,
    builder: str,
    ssh_keys: tuple[Path, ...],
    admin_password_stdin: bool,
    build_password_stdin: bool,
) -> None:
    """The files are user-data, user-data.yaml, meta-data, seed.iso and packer/. user-data is gzipped, as the
    clouds accept it; user-data.yaml is the same text, readable. Windows has separate files for each cloud,
    in aws/, azure/ and gcp/, and user-data for cloudbase-init.

    The same spec, lock and mirrors give the same bytes. Files with a password are readable by you only.
    """
    from notebake.cli import prompt
    from notebake.errors import SpecError
    from notebake.files import write_folder
    from notebake.render import output as render_output
    from notebake.render import user_data, windows

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
    rendered = render_output.render(
        plan,
        clouds=clouds or tuple(user_data.LIMITS),
        hostname=hostname,
        access=access,
        builder=builder,
        build_password=password(build_password_stdin, "--build-password-stdin"),
    )
    write_folder(output, rendered.files)
    size, limit = user_data.sizes(rendered.user_data)["aws"]
    click.echo(f"{output}: user-data is {size:,} bytes (limit on EC2: {limit:,})")
    if plan.target.is_windows:
        click.echo("the machine's fingerprint and token, once it is ready:")
        for cloud in clouds or windows.CONSOLES:
            if cloud in windows.CONSOLES:
                click.echo(f"  {cloud}: {windows.CONSOLES[cloud]}")
