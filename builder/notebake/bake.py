"""Bake: a plain base, a real `packer build` with the guest, a compressed image, a record."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from notebake import accelerator, bases, content, git, process, record, render, sbom, software, wheels
from notebake.accelerator import Accelerator
from notebake.errors import CommandFailed, SpecError
from notebake.files import RenderedFile, write_folder, write_whole
from notebake.plan import Plan
from notebake.progress import Steps
from notebake.targets import Download

CONSOLE_TAIL_LINES = 15

# What Packer says when a step of ours begins: its message, our step.
_MILESTONES = (
    ("Starting VM", "boot the machine under Packer"),
    ("Connected to SSH", "install the notebook"),
    ("scripts/report.sh", "report the software"),
    ("scripts/seal.sh", "seal the image"),
    ("Gracefully halting", "trim and shut down"),
)


@dataclass(frozen=True, kw_only=True)
class Baked:
    """The outcome: the image, its record, and whether a machine was started for it."""

    image: Path
    record: dict[str, Any]
    fresh: bool


def content_id(plan: Plan) -> str:
    """SHA-256 (hex) over all that changes the image: guest, template, scripts, base, tools."""
    return content.identify(content.inputs(plan))


def _new_key(path: Path) -> str:
    """A key pair for Packer's ssh: the private one at `path` (0600), the public line returned."""
    key = ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    path.touch(mode=0o600)
    path.write_bytes(private)
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return public.decode()


def _variables(
    plan: Plan, work: Path, accel: Accelerator, image: Path | None, wheelhouse: Path
) -> dict[str, str]:
    found = {
        "accelerator": accel.name,
        "cpu_model": accel.cpu,
        "cpus": str(min(os.cpu_count() or 1, 4)),
        "output_directory": str(work / "output"),
        "seed_directory": str(work / "seed"),
        "ssh_private_key_file": str(work / "key"),
        "console_log": str(work / "console.log"),
        "wheelhouse": str(wheelhouse),
        "software_report": str(work / "software.json"),
    }
    if image is not None:
        found["base_image"] = str(image)
        found["base_checksum"] = f"sha256:{record.sha256(image)}"
    elif isinstance(plan.target.base, Download):
        found["base_checksum"] = f"sha256:{bases.published_sha256(plan.target.base)}"
    return found


def _packer(plan: Plan, work: Path, variables: dict[str, str], log: Path, steps: Steps) -> None:
    from notebake import packer_build

    def line(text: str) -> None:
        for message, step in _MILESTONES:
            if message in text:
                steps.begin(step)
        if text.startswith("notebake: "):
            steps.note(text.removeprefix("notebake: "))

    var_file = work / "packer/variables.pkrvars.json"
    with steps.step("check the template"):
        packer_build.validate(work / "packer", variables=variables, var_file=var_file)
    steps.begin("start Packer")
    try:
        packer_build.build(work / "packer", variables=variables, var_file=var_file, log=log, line=line)
    except BaseException as error:
        step = steps.current
        steps.end(ok=False)
        if not isinstance(error, CommandFailed):
            raise
        console = work / "console.log"
        tail = process.tail(console.read_bytes() if console.exists() else b"", CONSOLE_TAIL_LINES)
        raise CommandFailed(
            f"bake {plan.target.name}: failed at: {step}\n{process.tail(log.read_bytes())}\n"
            f"--- the machine's console ---\n{tail}",
            f"the whole log is in {log}",
        ) from None
    steps.end()


def bake(
    plan: Plan,
    *,
    output: Path,
    accel: accelerator.Wanted,
    steps: Steps,
    now: datetime,
    force: bool = False,
    folder: Path | None = None,
) -> Baked:
    """Bake `plan` into `output`/<target>.qcow2 with its record; nothing changed, nothing done.

    `now` (UTC) goes into the record, and the git state of the spec's `folder`. Raises MissingTool, CommandFailed, SpecError, RecordError.
    """
    name = plan.target.name
    image = output / f"{name}.qcow2"
    identity = content_id(plan)
    if not force and record.is_current(image, identity):
        known = record.read(image)
        assert known is not None
        return Baked(image=image, record=known, fresh=False)
    if plan.target.family == "windows":
        raise SpecError(f"target {name}: Windows images are not baked yet")
    for tool in ("packer", "qemu-img", "xorriso"):
        process.which(tool)
    chosen = accelerator.choose(accel)
    output.mkdir(parents=True, exist_ok=True)
    log = output / f"{name}.log"
    log.write_bytes(b"")
    disk = None if isinstance(plan.target.base, Download) else bases.disk(plan, steps, log)
    with steps.step("fetch the wheels"):
        lock_id = hashlib.sha256(plan.lock.text().encode()).hexdigest()[:12]
        wheelhouse = wheels.fetch(
            plan.lock, plan.target, plan.sources.python, bases.cache() / "wheels" / f"{name}-{lock_id}", log
        )
    with tempfile.TemporaryDirectory(dir=output, prefix=f".{name}.") as scratch:
        work = Path(scratch)
        write_folder(work / "packer", render.packer_files(plan))
        seed = render.build_seed(_new_key(work / "key"))
        write_folder(work / "seed", [RenderedFile(path=path, data=data) for path, data in seed.items()])
        variables = _variables(plan, work, chosen, disk, wheelhouse)
        _packer(plan, work, variables, log, steps)
        packed = work / image.name
        with steps.step("compress"):
            process.run(
                ["qemu-img", "convert", "-c", "-O", "qcow2", "-o", "compression_type=zstd", "-m", "4", "-W",
                 work / "output" / f"{name}.qcow2", packed],
                timeout=1800, log=log,
            )  # fmt: skip
        with steps.step("write the record"):
            base = variables.get("base_checksum", "").removeprefix("sha256:") or None
            written = _record(
                plan, packed, chosen, steps, now, base=base, report=software.load(work / "software.json"),
                commit=git.state(folder),
            )  # fmt: skip
            shutil.rmtree(work / "output")
            packed.replace(image)
            record.write(image, written.model_dump(mode="json"))
            write_whole(sbom.path_for(image), sbom.render(written))
    return Baked(image=image, record=written.model_dump(mode="json"), fresh=True)


def _record(
    plan: Plan,
    image: Path,
    chosen: Accelerator,
    steps: Steps,
    now: datetime,
    *,
    base: str | None,
    report: software.Software,
    commit: record.Commit | None,
) -> record.Record:
    status = image.stat()
    packer = process.run(["packer", "version"], timeout=60, env={"CHECKPOINT_DISABLE": "1"}).stdout
    found = content.inputs(plan)
    url = plan.target.base.url if isinstance(plan.target.base, Download) else None
    return record.Record(
        format=record.FORMAT,
        content_id=content.identify(found),
        inputs=found,
        target=plan.target.name,
        platform="qemu",
        created=now.replace(microsecond=0),
        base=record.Base(id=bases.base_id(plan), sha256=base, url=url),
        commit=commit,
        machine=record.Serving(
            user=plan.spec.user,
            port=plan.spec.notebook.port,
            public_port=plan.spec.endpoint.public_port,
            profile=plan.spec.notebook.profile,
            pylab=plan.spec.notebook.pylab,
            login="password" if plan.spec.notebook.password else "token",
            own_certificate=plan.own_certificate is not None,
        ),
        packages=tuple(line.split(" ", 1)[0] for line in plan.lock.lines),
        tools=content.tool_versions(plan)
        | {
            "packer": packer.decode().split()[1].removeprefix("v"),
            "qemu": ".".join(map(str, accelerator.qemu_version())),
            "accelerator": chosen.name,
        },
        image=record.Image(
            file=f"{plan.target.name}.qcow2",
            sha256=record.sha256(image),
            bytes=status.st_size,
            mtime_ns=status.st_mtime_ns,
        ),
        steps=tuple(record.Step(step=title, seconds=seconds) for title, seconds in steps.taken),
        software=report,
    )
