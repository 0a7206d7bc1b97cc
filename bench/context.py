"""What the benchmarks share: a temporary folder with a spec, its plan, and a state folder.

XDG_STATE_HOME points to that folder, so the user's own machines are not touched. The cache of base images
and wheels is the user's: no benchmark measures making them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from notebake.bake import bake
from notebake.bases import base as bases
from notebake.errors import NotebakeError
from notebake.machines import lifecycle
from notebake.plan import plan, targets
from notebake.plan import spec as specs
from notebake.plan.plan import Plan
from notebake.progress import Steps

TARGET = "debian-13"
SPEC = 'mirrors = "host"\n'


@dataclass(frozen=True, kw_only=True)
class Context:
    """`given`: a golden image to boot instead of baking one. `runs`: how many times to start each machine."""

    folder: Path
    plan: Plan
    runs: int
    given: Path | None
    steps: Steps

    @property
    def spec(self) -> Path:
        """The file of the spec."""
        return self.folder / specs.FILE_NAME

    @property
    def baked(self) -> Path:
        """Where `notebake bake` writes."""
        return self.folder / "baked"

    def base(self) -> Path:
        """Return the base image; make it now if it is not cached, so that no benchmark measures that."""
        return bases.disk(self.plan, self.steps, self.folder / "base.log")

    def image(self) -> Path:
        """Return the given golden image, or bake one if that has not been done."""
        if self.given is not None:
            return self.given
        now = datetime.now(UTC)
        return bake.bake(self.plan, output=self.baked, accel="auto", steps=self.steps, now=now).image


@contextlib.contextmanager
def create(*, runs: int, given: Path | None, steps: Steps) -> Iterator[Context]:
    """Yield a context; then stop its machines and delete its folder. SIGTERM ends it as Ctrl-C does."""
    before = os.environ.get("XDG_STATE_HOME")
    handler = signal.signal(signal.SIGTERM, _terminate)
    try:
        with tempfile.TemporaryDirectory(prefix="notebake-bench-") as name:
            folder = Path(name)
            (folder / specs.FILE_NAME).write_text(SPEC, "utf-8")
            os.environ["XDG_STATE_HOME"] = str(folder / "state")
            spec = specs.parse(SPEC, source=specs.FILE_NAME)
            its_plan = plan.make(spec, targets.get(TARGET), folder, now=datetime.now(UTC))
            try:
                yield Context(folder=folder, plan=its_plan, runs=runs, given=given, steps=steps)
            finally:
                for machine in lifecycle.machines():
                    with contextlib.suppress(NotebakeError):
                        lifecycle.delete(machine.name)
    finally:
        signal.signal(signal.SIGTERM, handler)
        if before is None:
            os.environ.pop("XDG_STATE_HOME", None)
        else:
            os.environ["XDG_STATE_HOME"] = before


def _terminate(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
