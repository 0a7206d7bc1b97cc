"""Check that the tutorial's cell, `plot(randn(50))` without imports, shows a plot in the page."""

from __future__ import annotations

from notebake.errors import CheckFailed
from notebake.probe import png
from notebake.probe.context import CELL, Context

CODE = "plot(randn(50))"
# Pixels; matplotlib's inline figure is about 550 x 420.
SMALLEST, LARGEST = 100, 5000


def run(context: Context) -> str:
    """Return the size of the plot. Raises CheckFailed if it is missing, blank or damaged."""
    outcome = context.kernel().execute(CODE, seconds=context.seconds(CELL))
    if outcome.error:
        name, value = outcome.error
        raise CheckFailed(f"{CODE}: {name}: {value}", "check IPKernelApp.pylab in the kernel's profile")
    if not outcome.pictures:
        raise CheckFailed(f"{CODE}: no image/png in the output")
    try:
        width, height = png.size(outcome.pictures[0])
    except ValueError as error:
        raise CheckFailed(f"{CODE}: the picture is not a valid PNG: {error}") from None
    if not (SMALLEST <= width <= LARGEST and SMALLEST <= height <= LARGEST):
        raise CheckFailed(f"{CODE}: the picture is {width} x {height} pixels")
    return f"PNG of {width} x {height} pixels"
