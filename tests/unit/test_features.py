"""Words of the spec that stand for packages of the distribution, and what a machine does with them."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from notebake.errors import SpecError
from notebake.plan.plan import Plan
from notebake.provision import files

WORDS = '[notebook]\nexport = ["pdf"]\nkernel_memory = 512\n[image]\nfonts = ["cjk"]\n'
RC = "root/opt/notebake/matplotlib/matplotlibrc"


def test_words_become_packages_and_settings_on_debian_and_ubuntu(make_plan: Callable[..., Plan]) -> None:
    built = {item.path: item.data for item in files.build(make_plan(WORDS)).files}
    config = json.loads(built["config.json"])
    assert {"pandoc", "texlive-xetex", "fonts-noto-cjk"} <= set(config["os_packages"])
    assert config["kernel_prefix"][-1] == f"--data={512 << 20}"
    assert built[RC] == b"font.family: sans-serif, Noto Sans CJK JP\n"
    plain = {item.path: item.data for item in files.build(make_plan("")).files}
    assert json.loads(plain["config.json"])["os_packages"] == [] and RC not in plain


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ('[notebook]\nexport = ["pdf"]', "opensuse-leap-16.0"),
        ('[image]\nfonts = ["cjk"]', "opensuse-leap-16.0"),
        ('[notebook]\nexport = ["pdf"]', "windows-2025"),
        ("[notebook]\nkernel_memory = 512", "windows-2025"),
        ('[image]\nfonts = ["cjk"]', "windows-2025"),
    ],
)
def test_a_word_without_packages_for_the_family_is_refused(
    make_plan: Callable[..., Plan], text: str, target: str
) -> None:
    with pytest.raises(SpecError, match="not supported on") as caught:
        files.build(make_plan(text, target))
    assert caught.value.hint
