"""`make machines`: make the shapes and print where they are."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.e2e import shapes

from notebake.progress import Steps

for name in shapes.NAMES:
    with tempfile.NamedTemporaryFile(prefix="notebake-shape-", suffix=".log", delete=False) as log:
        path = Path(log.name)
    shape = shapes.make(name, Steps(), path)
    path.unlink()  # not after a failure: the error message names it
    print(f"{name}: {shape.root}")
