"""Prepare the machine that Packer installs Windows on: answer CD with drivers, TPM, password."""

from __future__ import annotations

import contextlib
import json
import secrets
import string
from collections.abc import Iterator
from pathlib import Path

from notebake import paths, process, scratch
from notebake.accelerator import Accelerator
from notebake.bake import windows_media
from notebake.files import RenderedFile, write_folder, write_whole
from notebake.plan.plan import Plan
from notebake.render import windows_packer

# virtio-win's folders of the drivers that Setup needs: for the disk and the network card of the template.
_DRIVERS = ("viostor", "NetKVM")
# Those that drivers.ps1 installs, for clones on other virtual hardware. Setup of 2025 rejects vioscsi.
_STAGED = ("vioscsi", "vioserial", "Balloon", "viorng")
_AGENT = "qemu-ga-x86_64.msi"


def password() -> str:
    """Return a password for one build that meets Windows' complexity rules."""
    alphabet = string.ascii_letters + string.digits
    return "aA1-" + "".join(secrets.choice(alphabet) for _ in range(28))


@contextlib.contextmanager
def prepared(
    plan: Plan,
    template: tuple[RenderedFile, ...],
    work: Path,
    folder: Path,
    accel: Accelerator,
    cpus: int,
    wheelhouse: Path,
    log: Path,
) -> Iterator[Path]:
    """Yield the variable file for `packer build` on the template in `work`/packer, while its TPM runs.

    The build's password is in that file and on the answer CD only, not in a program's arguments.
    """
    base, secret = windows_packer.base(plan), password()
    virtio = windows_media.check_drivers(plan.spec.windows, folder)
    answer = work / "answer"
    made = [
        RenderedFile(
            path="Autounattend.xml",
            data=windows_packer.answer(plan, secret, plan.spec.windows.product_key),
            mode=0o600,
        )
    ]
    script = next(item for item in template if item.path == "answer/winrm.ps1")
    write_folder(answer, [*made, RenderedFile(path="winrm.ps1", data=script.data)])
    wanted = {f"/{name}/{base.drivers}/amd64": answer / "drivers" / name for name in _DRIVERS}
    wanted |= {f"/{name}/{base.drivers}/amd64": answer / "staged" / name for name in _STAGED}
    wanted[f"/guest-agent/{_AGENT}"] = answer / "staged" / _AGENT
    extract = [word for inside, outside in wanted.items() for word in ("-extract", inside, outside)]
    process.run(["xorriso", "-osirrox", "on", "-indev", virtio, *extract], timeout=120, log=log)
    given = plan.spec.windows
    isos = paths.cache_folder() / "isos"
    isos.mkdir(exist_ok=True)
    iso = str(given.iso) if windows_media.is_url(str(given.iso)) else str(folder / str(given.iso))
    values = {
        **windows_packer.variables(plan),
        "iso": iso,
        "iso_checksum": f"sha256:{given.iso_sha256}",
        "iso_path": str(isos / f"{given.iso_sha256}.iso"),
        "winrm_password": secret,
        "accelerator": accel.name,
        "cpu_model": accel.cpu,
        "cpus": cpus,
        "output_directory": str(work / "output"),
        "answer_directory": str(answer),
        "console_log": str(work / "console.log"),
        "software_report": str(work / "software.json"),
        "wheelhouse": str(wheelhouse),
        "firmware": str(windows_media.FIRMWARE),
    }
    with contextlib.ExitStack() as stack:
        if base.tpm:
            # A socket's path may have 107 bytes: not in `work`.
            state = stack.enter_context(scratch.folder(scratch.short(), "nb"))
            socket = state / "socket"
            pid = process.spawn(
                ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}",
                 "--ctrl", f"type=unixio,path={socket}"],
                log=log, env=process.owned(),
            )  # fmt: skip
            stack.callback(process.kill_session, pid)
            values["tpm_socket"] = str(socket)
        path = work / "bake.pkrvars.json"
        write_whole(path, json.dumps(values).encode(), 0o600)
        yield path
