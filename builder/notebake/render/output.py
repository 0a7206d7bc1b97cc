"""Plan -> all that `notebake render` writes, and the Packer template. Pure: no clock, no randomness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from notebake import paths, seed
from notebake.files import RenderedFile
from notebake.plan.plan import Plan
from notebake.plan.windows import check_computer
from notebake.provision import files, upgrade
from notebake.provision.files import Payload
from notebake.render import include, linux, nocloud, terraform, windows, windows_packer
from notebake.render.include import Include
from notebake.render.user_data import LIMITS, UserData, check_size


@dataclass(frozen=True, kw_only=True)
class Output:
    """`files`: everything `notebake render` writes; `user_data`: the user-data among them.

    `included`: what is to be hosted elsewhere, if anything.
    """

    files: tuple[RenderedFile, ...]
    user_data: UserData
    included: Include | None = None


def user_data(plan: Plan, payload: Payload) -> UserData:
    """Return the user-data that brings `payload`, in the form that each cloud's machines read."""
    return windows.user_data(payload) if plan.target.is_windows else linux.user_data(plan, payload)


def packer_files(
    plan: Plan, payload: Payload, *, sources: Sequence[str] = ("qemu",)
) -> tuple[RenderedFile, ...]:
    """Return the Packer template, its scripts and the payload's archive, without values of this host.

    `sources`: the Packer builders to bake with, of those that the target's template knows. The blocks
    that require their plugins are in a separate folder, because Packer 1.6 refuses to read them.
    """
    if plan.target.is_windows:
        return (*windows_packer.packer_files(plan, payload, sources), *_plugins(sources))
    shared = paths.data_folder("images") / "_shared/linux"
    found = [
        RenderedFile(
            path=path.relative_to(shared).as_posix(), data=path.read_bytes(), mode=path.stat().st_mode & 0o755
        )
        for path in sorted(shared.rglob("*"))
        if path.is_file()
    ]
    found.append(RenderedFile(path="guest.tar.gz", data=payload.archive(upgrade.for_bake(plan, payload))))
    found.append(RenderedFile(path="variables.pkrvars.json", data=linux.packer_variables(plan)))
    return (*found, *_plugins(["qemu"]))


def _plugins(sources: Sequence[str]) -> tuple[RenderedFile, ...]:
    folder = paths.data_folder("images") / "_shared/plugins"
    return tuple(
        RenderedFile(path=f"plugins/{name}.pkr.hcl", data=(folder / f"{name}.pkr.hcl").read_bytes())
        for name in sources
    )


@dataclass(frozen=True, kw_only=True)
class Access:
    """How an administrator logs in to a machine, by meta-data. `password` is a secret, for Windows only."""

    public_keys: tuple[str, ...] = ()
    password: str | None = None


def render(
    plan: Plan,
    *,
    clouds: tuple[str, ...] = tuple(LIMITS),
    hostname: str | None = None,
    include_url: str | None = None,
    access: Access = Access(),
    builder: str = "qemu",
    build_password: str | None = None,
) -> Output:
    """Return everything `notebake render` writes; `hostname` and `access` go into the meta-data.

    With `include_url` the user-data fetches the provisioning files from there. `builder`: the Packer builder
    of the template. `build_password`: a secret, for a Windows that Packer installs. Raises SpecError over the
    size limit of one of `clouds`, or for a host name the target refuses.
    """
    name = hostname or plan.target.name.replace(".", "-")
    if plan.target.is_windows:
        check_computer(name)
    payload = files.build(plan)
    if include_url is None:
        included, made = None, user_data(plan, payload)
    else:
        included = include.include(plan, payload, include_url)
        made = include.user_data(plan, payload, included)
    check_size(plan.target.name, made, clouds)
    meta = nocloud.meta_data(
        instance_id=nocloud.instance_id(payload, name),
        hostname=hostname,
        public_keys=access.public_keys,
        admin_pass=access.password,
    )
    mode = 0o600 if access.password else 0o644
    template = list(packer_files(plan, payload, sources=[builder]))
    if build_password is not None:
        template = [item for item in template if item.path != "answer/Autounattend.xml"]
        template += windows_packer.build_password(plan, build_password)
    return Output(
        files=(
            *made.files,
            *_hosted(included),
            *_terraform(plan, made, clouds, name, access),
            RenderedFile(path="meta-data", data=meta, mode=mode),
            RenderedFile(
                path="seed.iso", data=seed.iso({"user-data": made.seed, "meta-data": meta}), mode=mode
            ),
            *(RenderedFile(path=f"packer/{item.path}", data=item.data, mode=item.mode) for item in template),
        ),
        user_data=made,
        included=included,
    )


def _hosted(included: Include | None) -> tuple[RenderedFile, ...]:
    if included is None:
        return ()
    return (RenderedFile(path=f"include/{included.file.path}", data=included.file.data),)


def _terraform(
    plan: Plan, made: UserData, clouds: tuple[str, ...], name: str, access: Access
) -> tuple[RenderedFile, ...]:
    # Windows does not redirect the public port by itself.
    if "aws" not in clouds or plan.target.is_windows:
        return ()
    return terraform.module(plan, made, name=name, public_key=next(iter(access.public_keys), None))
