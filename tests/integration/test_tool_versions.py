"""The versions of the real programs that are part of a content id."""

from __future__ import annotations

import re
from collections.abc import Callable

from notebake.bake import inputs
from notebake.plan.plan import Plan


def test_the_tools_that_make_the_base_image_are_part_of_the_content_id(
    make_plan: Callable[..., Plan],
) -> None:
    download = inputs.tool_versions(make_plan(target="ubuntu-24.04"))
    made_here = inputs.tool_versions(make_plan(target="debian-13"))
    assert made_here.keys() - download.keys() == {"mke2fs", "mmdebstrap"}
    assert download.keys() == {"notebake", "qemu-img"}
    assert all(re.fullmatch(r"\d+(\.\d+)+", version) for version in made_here.values()), made_here
