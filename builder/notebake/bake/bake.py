"""Bake: run `packer build` on a base image with the payload, compress the image, write its record."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from notebake import accelerator, paths, process, scratch, ssh
from notebake.accelerator import Accelerator
from notebake.bake import disk, packer_plugins, windows_media
from notebake.bake import inputs as bake_inputs
from notebake.bake import wheelhouse as wheels
from notebake.bake import windows as bake_windows
from notebake.bases import base as bases
from notebake.bases import releases
from notebake.errors import CommandFailed
from notebake.files import RenderedFile, sha256, write_folder, write_whole
from notebake.plan.plan import Plan
from notebake.plan.targets import Download, Mmdebstrap
from notebake.progress import Steps
from notebake.provision import files
from notebake.provision.files import Payload
from notebake.record import git, record, sbom, software
from notebake.record.record import Record
from notebake.render import nocloud, windows_packer
from notebake.render import output as render_output

CONSOLE_TAIL_LINES = 15

# Packer's message at the beginning of a step, and the name of that step.
_MILESTONES = (
    ("Starting VM", "boot the machine under Packer"),
    ("Connected to SSH", "install the notebook"),
    ("Waiting for WinRM", "install Windows"),
    ("WinRM connected", "install the notebook"),
    ("scripts/updates.ps1", "install updates"),
    ("scripts/report.ps1", "report the software"),
    ("scripts/clean.ps1", "clean up"),
    ("scripts/report.sh", "report the software"),
    ("scripts/seal.sh", "seal the image"),
    ("Gracefully halting", "trim and shut down"),
)


@dataclass(frozen=True, kw_only=True)
class Baked:
    """The outcome of a bake: the image, its record, and whether it was created just now."""

    image: Path
    record: Record
    created: bool


def _cpus() -> int:
    """Return the number of processors for the machine under Packer: more than four make it no faster."""
    return min(os.cpu_count() or 1, 4)


def _variables(work: Path, accel: Accelerator, base: Path, checksum: str) -> dict[str, str]:
    return {
        "accelerator": accel.name,
        "cpu_model": accel.cpu,
        "cpus": str(_cpus()),
        "output_directory": str(work / "output"),
        "seed_directory": str(work / "seed"),
        "ssh_private_key_file": str(work / "key"),
        "console_log": str(work / "console.log"),
        "base_image": str(base),
        "base_checksum": checksum,
        "software_report": str(work / "software.json"),
    }


def _packer(
    plan: Plan,
    work: Path,
    variables: dict[str, str],
    var_file: Path,
    plugins: Path | None,
    log: Path,
    steps: Steps,
) -> None:
    from notebake.bake import packer

    def line(text: str) -> None:
        for message, step in _MILESTONES:
            if message in text:
                steps.begin(step)
        if text.startswith("notebake: "):
            steps.note(text.removeprefix("notebake: "))

    with steps.step("check the template"):
        packer.validate(work / "packer", variables=variables, var_file=var_file, plugins=plugins)
    steps.begin("start Packer")
    try:
        packer.build(
            work / "packer", variables=variables, var_file=var_file, log=log, line=line, plugins=plugins
        )
    except BaseException as error:
        step = steps.current
        steps.end(ok=False)
        console = _console(log)
        printed = (work / "console.log").read_bytes() if (work / "console.log").exists() else b""
        if printed:
            write_whole(console, printed)
        if not isinstance(error, CommandFailed):
            raise
        raise CommandFailed(
            f"bake {plan.target.name}: failed at: {step}\n{process.tail(log.read_bytes())}\n"
            f"--- the machine's console ---\n{process.tail(printed, CONSOLE_TAIL_LINES)}",
            f"the full log is {log}" + (f", the full console {console}" if printed else ""),
        ) from None
    steps.end()


def _console(log: Path) -> Path:
    """Return where the console of a machine whose bake failed is kept: beside its log."""
    return log.with_suffix(".console.log")


def _packer_linux(
    plan: Plan,
    payload: Payload,
    work: Path,
    chosen: Accelerator,
    wheelhouse: Path,
    plugins: Path | None,
    log: Path,
    steps: Steps,
    oldest: datetime | None,
) -> str:
    """Run Packer on a machine from the base image; return the base image's SHA-256 (hex)."""
    base = plan.target.base
    key = ssh.new_key(work / "key")
    if isinstance(base, Mmdebstrap):
        root = bases.root(plan, steps, log, oldest)
        digest = sha256(root)
        start = disk.make(
            plan, base, payload, root=root, identity=digest, wheelhouse=wheelhouse, key=key, folder=work,
            steps=steps, log=log,
        )  # fmt: skip
        variables = _variables(work, chosen, start, "none")
    else:
        start = bases.disk(plan, steps, log)
        digest = sha256(start)
        variables = _variables(work, chosen, start, f"sha256:{digest}")
        variables["wheelhouse"] = str(wheelhouse)
    seed = nocloud.build_seed(key)
    write_folder(work / "seed", [RenderedFile(path=path, data=data) for path, data in seed.items()])
    _packer(plan, work, variables, work / "packer/variables.pkrvars.json", plugins, log, steps)
    return digest


def bake(
    plan: Plan,
    *,
    output: Path,
    accel: accelerator.Choice,
    steps: Steps,
    now: datetime,
    folder: Path = Path(),
    plugins: Path | None = None,
    force: bool = False,
    offline: bool = False,
    oldest: datetime | None = None,
) -> Baked:
    """Bake `plan` into `output`/<target>.qcow2 with its record.

    Return the existing image if no input has changed, unless `force` is set. `offline`: what the package
    sources offer is not read again. A Debian base made before `oldest` is made again. `now` (UTC) and the git
    state of the spec's `folder` go into the record. `plugins` is a folder of Packer's plugins. Raises
    MissingTool, CommandFailed, SpecError, RecordError.
    """
    name = plan.target.name
    image = output / f"{name}.qcow2"
    scratch.clean_up(output)
    payload = files.build(plan)
    sources = releases.read(plan, offline=offline)
    inputs = bake_inputs.inputs(plan, payload, sources)
    if not force and record.is_current(image, bake_inputs.identify(inputs)):
        return Baked(image=image, record=record.load(image), created=False)
    if image.is_file() and record.path_for(image).exists() and not force:
        for reason in bake_inputs.reasons(record.load(image).inputs, inputs, sources):
            steps.note(f"bake required: {reason}")
    if plan.target.is_windows:
        with steps.step("check the ISO"):
            windows_media.check_medium(plan.spec.windows, windows_packer.base(plan), folder)
            windows_media.check_drivers(plan.spec.windows, folder)
            windows_media.check_tools(windows_packer.base(plan))
    for tool in ("packer", "qemu-img", "xorriso"):
        process.which(tool)
    template = render_output.packer_files(plan, payload)
    with steps.step("check Packer and its plugins"):
        packer_plugins.prepare(template, plugins)
    chosen = accelerator.choose(accel)
    output.mkdir(parents=True, exist_ok=True)
    log = output / f"{name}.log"
    log.write_bytes(b"")
    _console(log).unlink(missing_ok=True)
    with steps.step("fetch the wheels"):
        lock_id = hashlib.sha256(plan.lock.text().encode()).hexdigest()[:12]
        wheelhouse = wheels.fetch(
            plan.lock,
            plan.target,
            plan.sources.python,
            paths.cache_folder() / "wheels" / f"{name}-{lock_id}",
            log,
        )
    with scratch.folder(output, name) as work:
        write_folder(work / "packer", template)
        if plan.target.is_windows:
            with bake_windows.prepared(
                plan, template, work, folder, chosen, _cpus(), wheelhouse, log
            ) as var_file:
                _packer(plan, work, {}, var_file, plugins, log, steps)
            base = plan.spec.windows.iso_sha256
        else:
            base = _packer_linux(plan, payload, work, chosen, wheelhouse, plugins, log, steps, oldest)
        packed = work / image.name
        with steps.step("compress"):
            process.run(
                ["qemu-img", "convert", "-c", "-O", "qcow2", "-o", "compression_type=zstd", "-m", "4", "-W",
                 work / "output" / f"{name}.qcow2", packed],
                timeout=1800, log=log,
            )  # fmt: skip
        with steps.step("write the record"):
            report = software.load(work / "software.json")
            written = _record(
                plan, packed, inputs, chosen, steps, now, base=base, report=report, commit=git.state(folder)
            )
            shutil.rmtree(work / "output")
            packed.replace(image)
            record.write(image, written)
            write_whole(sbom.path_for(image), sbom.render(written))
    return Baked(image=image, record=written, created=True)


def _record(
    plan: Plan,
    image: Path,
    inputs: dict[str, str],
    chosen: Accelerator,
    steps: Steps,
    now: datetime,
    *,
    base: str | None,
    report: software.Software,
    commit: record.Commit | None,
) -> Record:
    status = image.stat()
    url = plan.target.base.origin if isinstance(plan.target.base, Download) else None
    return Record(
        format=record.FORMAT,
        content_id=bake_inputs.identify(inputs),
        inputs=inputs,
        target=plan.target.name,
        platform="qemu",
        created=now.replace(microsecond=0),
        base=record.Base(id=bases.base_id(plan), sha256=base, url=url, date=bases.date(plan)),
        commit=commit,
        machine=record.Serving(
            user=plan.spec.user,
            admin=plan.admin,
            port=plan.spec.notebook.port,
            public_port=plan.spec.endpoint.public_port,
            profile=plan.spec.notebook.profile,
            pylab=plan.spec.notebook.pylab,
            login="password" if plan.spec.notebook.password else "token",
            own_certificate=plan.own_certificate is not None,
            metadata=plan.spec.notebook.metadata,
            sudo=plan.spec.notebook.sudo,
            base_url=plan.spec.notebook.base_url,
        ),
        packages=tuple(line.split(" ", 1)[0] for line in plan.lock.lines),
        tools=bake_inputs.tool_versions(plan)
        | {
            "packer": packer_plugins.dotted(packer_plugins.version()),
            "qemu": ".".join(map(str, accelerator.qemu_version())),
            "accelerator": chosen.name,
        },
        image=record.Image(
            file=f"{plan.target.name}.qcow2",
            sha256=sha256(image),
            bytes=status.st_size,
            mtime_ns=status.st_mtime_ns,
        ),
        steps=tuple(record.Step(step=title, seconds=seconds) for title, seconds in steps.taken),
        software=report,
    )
