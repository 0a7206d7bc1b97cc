"""Where the data folders are: inside an installed wheel, or beside builder/ in a checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def folder(name: str) -> Path:
    """The data folder `images` or `cloud-init`; FileNotFoundError is a packaging bug."""
    for root in (_PACKAGE / "_data", _PACKAGE.parent.parent):
        if (root / name).is_dir():
            return root / name
    raise FileNotFoundError(f"the data folder {name} is in neither the wheel nor the checkout")
