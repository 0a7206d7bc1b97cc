"""Build a NoCloud seed: the ISO 9660 volume `cidata` that cloud-init reads user-data from."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Mapping
from types import SimpleNamespace

import pycdlib

VOLUME = "cidata"
_EPOCH_SECONDS = 946684800.0  # 2000-01-01 00:00:00 UTC

# pycdlib writes the current local time into every record and has no option for another time. Its
# modules, which only this module uses, get a fixed clock.
_CLOCK = SimpleNamespace(**{**vars(time), "time": lambda: _EPOCH_SECONDS, "localtime": time.gmtime})
for _name, _module in list(sys.modules.items()):
    if _name.startswith("pycdlib.") and getattr(_module, "time", None) is time:
        _module.time = _CLOCK  # type: ignore[attr-defined]


def iso(files: Mapping[str, bytes]) -> bytes:
    """Return a volume with `files` (name -> content) in its root folder. Same files, same bytes."""
    volume = pycdlib.PyCdlib()
    volume.new(interchange_level=3, vol_ident=VOLUME, joliet=3, rock_ridge="1.09")
    for number, (name, data) in enumerate(sorted(files.items())):
        volume.add_fp(io.BytesIO(data), len(data), f"/FILE{number}.;1", rr_name=name, joliet_path=f"/{name}")
    out = io.BytesIO()
    volume.write_fp(out)
    volume.close()
    return out.getvalue()
