"""Where a run works: a folder of its own with a spec, the plan made from it, and a state folder.

The machines of the user who runs the bench are neither seen nor touched: XDG_STATE_HOME points here.
The cache of bases and wheels is the user's: making them is no part of any figure.
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
from notebake.machines.machine import Platform
from notebake.plan import plan, targets
from notebake.plan import spec as specs
from notebake.plan.plan import Plan
from notebake.progress import Steps

TARGET = "debian-13"
SPEC = 'mirrors = "host"\n'


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """`given`: a golden image to boot instead of baking one. `runs`: how often machines are started."""

    folder: Path
    plan: Plan
    platform: Platform
    runs: int
    given: Path | None
    steps: Steps

    @property
    def spec(self) -> Path:
        """The spec's file."""
        return self.folder / specs.FILE_NAME

    @property
    def baked(self) -> Path:
        """Where `notebake bake` writes."""
        return self.folder / "baked"

    def base(self) -> Path:
        """The plain disk, made now unless it is in the cache, so that no measurement makes it."""
        return bases.disk(self.plan, self.steps, self.folder / "base.log")

    def image(self) -> Path:
        """A golden image: the given one, else the one baked here, baked now if nothing did so yet."""
        if self.given is not None:
            return self.given
        now = datetime.now(UTC)
        return bake.bake(self.plan, output=self.baked, accel="auto", steps=self.steps, now=now).image


@contextlib.contextmanager
def opened(*, platform: Platform, runs: int, given: Path | None, steps: Steps) -> Iterator[Workshop]:
    """A workshop that is gone afterwards, with every machine started in it. SIGTERM ends it as Ctrl-C does."""
    before = os.environ.get("XDG_STATE_HOME")
    handler = signal.signal(signal.SIGTERM, _terminate)
    try:
        with tempfile.TemporaryDirectory(prefix="notebake-bench-") as name:
            folder = Path(name)
            (folder / specs.FILE_NAME).write_text(SPEC, "utf-8")
            os.environ["XDG_STATE_HOME"] = str(folder / "state")
            made = plan.make(
                specs.parse(SPEC, source=specs.FILE_NAME), targets.get(TARGET), folder, now=datetime.now(UTC)
            )
            try:
                yield Workshop(
                    folder=folder, plan=made, platform=platform, runs=runs, given=given, steps=steps
                )
            finally:
                for machine in lifecycle.machines():
                    with contextlib.suppress(NotebakeError):
                        lifecycle.stop(machine.name, seconds=0)
    finally:
        signal.signal(signal.SIGTERM, handler)
        if before is None:
            os.environ.pop("XDG_STATE_HOME", None)
        else:
            os.environ["XDG_STATE_HOME"] = before


def _terminate(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
