"""Where folders are: data (inside an installed wheel, or beside builder/ in a checkout), cache, state."""

from __future__ import annotations

from pathlib import Path

import platformdirs

_PACKAGE = Path(__file__).resolve().parent


def data_folder(name: str) -> Path:
    """The data folder `images` or `cloud-init`; FileNotFoundError is a packaging bug."""
    for root in (_PACKAGE / "_data", _PACKAGE.parent.parent):
        if (root / name).is_dir():
            return root / name
    raise FileNotFoundError(f"the data folder {name} is in neither the wheel nor the checkout")


def cache_folder() -> Path:
    """notebake's cache folder, `~/.cache/notebake` unless XDG_CACHE_HOME says otherwise."""
    return platformdirs.user_cache_path("notebake", ensure_exists=True)


def state_folder() -> Path:
    """The state folder: `$XDG_STATE_HOME/notebake`, normally `~/.local/state/notebake`."""
    return platformdirs.user_state_path("notebake")
