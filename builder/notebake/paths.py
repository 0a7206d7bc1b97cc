"""Locate the data folders (in the installed wheel or in the checkout), and the user's own folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from notebake.errors import SpecError

_PACKAGE = Path(__file__).resolve().parent


@contextmanager
def _home() -> Iterator[None]:
    """Raise SpecError where the user has no home, as under a uid without an account in a container."""
    try:
        yield
    except RuntimeError:
        raise SpecError(
            f"the user {os.getuid()} has no home folder, and there is no HOME",
            "set HOME to a folder that this user may write to, or XDG_CACHE_HOME and XDG_STATE_HOME",
        ) from None


def data_folder(name: str) -> Path:
    """Return the data folder `images` or `cloud-init`. FileNotFoundError means a packaging bug."""
    for root in (_PACKAGE / "_data", _PACKAGE.parent.parent):
        if (root / name).is_dir():
            return root / name
    raise FileNotFoundError(f"the data folder {name} is in neither the wheel nor the checkout")


def cache_folder() -> Path:
    """Create and return the cache folder: `$XDG_CACHE_HOME/notebake`, by default `~/.cache/notebake`."""
    with _home():
        return platformdirs.user_cache_path("notebake", ensure_exists=True)


def state_folder() -> Path:
    """Return the state folder: `$XDG_STATE_HOME/notebake`, by default `~/.local/state/notebake`."""
    with _home():
        return platformdirs.user_state_path("notebake")


def config_folder() -> Path:
    """Return the config folder: `$XDG_CONFIG_HOME/notebake`, by default `~/.config/notebake`."""
    with _home():
        return platformdirs.user_config_path("notebake")
