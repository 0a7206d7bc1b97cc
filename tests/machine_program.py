"""Programs of the machine, loaded as modules."""

from __future__ import annotations

import importlib.util
from types import ModuleType

from notebake import paths


def program(path: str) -> ModuleType:
    """Return a program of the machine as a module; `path` is below cloud-init/."""
    file = paths.data_folder("cloud-init") / path
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
