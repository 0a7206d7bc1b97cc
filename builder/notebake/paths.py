"""Locate the data folders (in the installed wheel or in the checkout), and the user's own folders."""

from __future__ import annotations

from pathlib import Path

import platformdirs

_PACKAGE = Path(__file__).resolve().parent


def data_folder(name: str) -> Path:
    """Return the data folder `images` or `cloud-init`. FileNotFoundError means a packaging bug."""
    for root in (_PACKAGE / "_data", _PACKAGE.parent.parent):
        if (root / name).is_dir():
            return root / name
    raise FileNotFoundError(f"the data folder {name} is in neither the wheel nor the checkout")


def cache_folder() -> Path:
    """Create and return the cache folder: `$XDG_CACHE_HOME/notebake`, by default `~/.cache/notebake`."""
    return platformdirs.user_cache_path("notebake", ensure_exists=True)


def state_folder() -> Path:
    """Return the state folder: `$XDG_STATE_HOME/notebake`, by default `~/.local/state/notebake`."""
    return platformdirs.user_state_path("notebake")


def config_folder() -> Path:
    """Return the config folder: `$XDG_CONFIG_HOME/notebake`, by default `~/.config/notebake`."""
    return platformdirs.user_config_path("notebake")
