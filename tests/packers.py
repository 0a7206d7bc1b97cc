"""A Packer newer than Debian's, built from source: 1.9.4, with the plugin qemu as a program of its own.

Both are under the MPL; Packer 1.10 and later are not, and are not built. The module proxy of the test machine
refuses Packer 1.9.5 and the releases of the plugin that notebake asks for. So the plugin is 1.0.9, and says
that it is the oldest of those: how Packer finds it, checks it and talks to it is that of any external plugin.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from filelock import FileLock

from notebake import paths, process
from notebake.bake import packer_plugins
from notebake.errors import MissingTool
from notebake.files import sha256

PACKER = "1.9.4"
PLUGIN = "1.0.9"
_SECONDS = 1800


def build() -> Path:
    """Return a folder with `packer` and `plugins/`, built once and kept in the cache. Raises MissingTool."""
    (plugin,) = packer_plugins.required()
    version = packer_plugins.dotted(plugin.oldest)
    kept = paths.cache_folder() / "packers" / f"{PACKER}-{PLUGIN}-as-{version}"
    if kept.exists():
        return kept
    kept.parent.mkdir(parents=True, exist_ok=True)
    # It takes minutes: of two test processes, the second one waits.
    with FileLock(kept.parent / "lock"), tempfile.TemporaryDirectory(dir=kept.parent, prefix=".new-") as name:
        if kept.exists():
            return kept
        folder = Path(name) / "built"
        path = folder / "plugins" / plugin.source / f"packer-plugin-qemu_v{version}_x5.0_linux_amd64"
        path.parent.mkdir(parents=True)
        _build(f"github.com/hashicorp/packer@v{PACKER}", folder / "packer")
        module = "github.com/hashicorp/packer-plugin-qemu"
        _build(f"{module}@v{PLUGIN}", path, f"-X {module}/version.Version={version}")
        path.with_name(f"{path.name}_SHA256SUM").write_text(sha256(path))
        folder.rename(kept)
    return kept


def _build(module: str, program: Path, flags: str = "") -> None:
    """Build the program of a module in a version; Go's checksum database verifies it and what it needs."""
    if not process.has("go"):
        raise MissingTool("go: not installed", "notebake doctor --fix --for test")
    source, version = module.split("@")
    with tempfile.TemporaryDirectory(prefix="nb-go-") as name:
        (Path(name) / "go.mod").write_text(f"module built\n\ngo 1.20\n\nrequire {source} {version}\n")
        process.run(
            ["go", "build", "-C", name, "-mod=mod", "-ldflags", flags, "-o", program, source],
            timeout=_SECONDS,
            env={name: value for name, value in os.environ.items() if name.startswith("GO")},
        )


if __name__ == "__main__":
    print(build())
