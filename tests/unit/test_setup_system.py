"""Set-up's steps of the operating system, where the package manager is cut off."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from notebake import paths


def test_packages_are_installed_again_when_their_installation_was_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program is there already, and the rest of its package is not."""
    monkeypatch.syspath_prepend(str(paths.data_folder("cloud-init") / "zypper"))
    for name in ("packages", "system"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import packages
    import system

    tool, ran = tmp_path / "bin/tool", []

    def manager(*argv: str, **env: str) -> None:
        ran.append(argv[-1])
        tool.parent.mkdir(exist_ok=True)
        tool.touch(0o755)
        if len(ran) == 1:
            raise SystemExit("the power is cut")

    monkeypatch.setattr(system, "STATE", tmp_path)
    monkeypatch.setattr(packages, "run", manager)
    monkeypatch.setenv("PATH", str(tool.parent))
    config = {"programs": {"tool": "tool-package"}, "os_packages": []}
    with pytest.raises(SystemExit):
        system.programs(config)
    system.programs(config)
    system.programs(config)
    assert ran == ["tool-package", "tool-package"], "once more, and not a third time"
