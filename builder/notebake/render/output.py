"""Plan -> all that `notebake render` writes, and the Packer template. Pure: no clock, no randomness."""

from __future__ import annotations

from notebake import paths, seed
from notebake.files import RenderedFile
from notebake.plan import windows as plan_windows
from notebake.plan.plan import Plan
from notebake.provision import files as provision_files
from notebake.render import linux, nocloud, user_data, windows, windows_packer
from notebake.render.user_data import LIMITS


def packer_files(plan: Plan) -> tuple[RenderedFile, ...]:
    """The Packer template, its scripts and the guest's archive, without values of this computer."""
    if plan.target.family == "windows":
        return windows_packer.packer_files(plan)
    shared = paths.data_folder("images") / "_shared/linux"
    found = [
        RenderedFile(
            path=path.relative_to(shared).as_posix(), data=path.read_bytes(), mode=path.stat().st_mode & 0o755
        )
        for path in sorted(shared.rglob("*"))
        if path.is_file()
    ]
    found.append(RenderedFile(path="guest.tar.gz", data=provision_files.archive(provision_files.files(plan))))
    found.append(RenderedFile(path="variables.pkrvars.json", data=linux.packer_variables(plan)))
    return tuple(found)


def files(
    plan: Plan, *, clouds: tuple[str, ...] = tuple(LIMITS), hostname: str | None = None
) -> tuple[RenderedFile, ...]:
    """Everything `notebake render` writes; `hostname` goes into the meta-data.

    Raises SpecError over the size limit of one of `clouds`, or for a host name the target refuses.
    """
    user_data.check_size(plan, clouds)
    name = hostname or plan.target.name.replace(".", "-")
    if plan.target.family == "windows":
        plan_windows.check_computer(name)
        made = windows.forms(plan)
        packed = made["openstack"].data
        found = [RenderedFile(path=form.path, data=form.data) for form in made.values()]
        found.append(RenderedFile(path="azure/extension.json", data=windows.azure_extension()))
    else:
        packed = linux.user_data(plan)
        found = [
            RenderedFile(path="user-data", data=packed),
            RenderedFile(path="user-data.yaml", data=linux.cloud_config(plan)),
        ]
    meta = nocloud.meta_data(instance_id=nocloud.instance_id(plan, name), hostname=hostname)
    found += [
        RenderedFile(path="meta-data", data=meta),
        RenderedFile(path="seed.iso", data=seed.iso({"user-data": packed, "meta-data": meta})),
    ]
    found += [
        RenderedFile(path=f"packer/{item.path}", data=item.data, mode=item.mode)
        for item in packer_files(plan)
    ]
    return tuple(found)
