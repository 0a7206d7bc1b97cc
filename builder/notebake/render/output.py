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
from notebake.render import include, linux, nocloud, windows, windows_packer
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


def render(
    plan: Plan,
    *,
    clouds: tuple[str, ...] = tuple(LIMITS),
    hostname: str | None = None,
    include_url: str | None = None,
) -> Output:
    """Return everything `notebake render` writes; `hostname` goes into the meta-data.

    With `include_url` the user-data fetches the provisioning files from there. Raises SpecError over the size
    limit of one of `clouds`, or for a host name the target refuses.
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
    meta = nocloud.meta_data(instance_id=nocloud.instance_id(payload, name), hostname=hostname)
    return Output(
        files=(
            *made.files,
            *_hosted(included),
            RenderedFile(path="meta-data", data=meta),
            RenderedFile(path="seed.iso", data=seed.iso({"user-data": made.seed, "meta-data": meta})),
            *(
                RenderedFile(path=f"packer/{item.path}", data=item.data, mode=item.mode)
                for item in packer_files(plan, payload, sources=windows_packer.SOURCES)
            ),
        ),
        user_data=made,
        included=included,
    )


def _hosted(included: Include | None) -> tuple[RenderedFile, ...]:
    if included is None:
        return ()
    return (RenderedFile(path=f"include/{included.file.path}", data=included.file.data),)
