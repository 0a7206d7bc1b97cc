"""Targets: one folder each under images/, all facts in its `target.toml`.

A release of a known family is added by adding a folder: nothing in the code names a target.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from notebake import paths
from notebake.errors import SpecError
from notebake.validation import StrictModel, first_problem

FILE_NAME = "target.toml"


class Installer(StrictModel):
    """Python's own installer for Windows and its SHA-256."""

    url: str = Field(pattern=r"^https://[!-~]+$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Python(StrictModel):
    """The Python of the release: the lock is resolved for it, the environment made from it.

    `installer`: where the release has no Python of its own. `packages`: what the guest needs of the Python
    index there besides the spec's packages.
    """

    version: str = Field(pattern=r"^3\.\d{1,2}$")
    interpreter: str = Field("/usr/bin/python3", pattern=r"^(/|[A-Z]:/)[A-Za-z0-9/._ -]+$")
    # A platform tag as `uv --python-platform` takes it.
    platform: str = "x86_64-manylinux_2_28"
    installer: Installer | None = None
    packages: tuple[str, ...] = ()


class Mmdebstrap(StrictModel):
    """A base made here from a Debian mirror."""

    kind: Literal["mmdebstrap"]
    suite: str
    components: tuple[str, ...] = ("main",)
    packages: tuple[str, ...]
    size_mib: int = Field(2048, ge=512)


Url = Annotated[str, Field(pattern=r"^https://[!-~]+$")]


class Signed(StrictModel):
    """The digests that a project publishes, and its signature over them.

    `sums`: lines of SHA-256 and file name, as sha256sum writes them; `signature`: OpenPGP, detached.
    `key`: a file in images/_keys (binary OpenPGP), of which only the primary key `fingerprint` counts.
    """

    sums: Url
    signature: Url
    key: str = Field(pattern=r"^[a-z0-9-]+\.gpg$")
    fingerprint: str = Field(pattern=r"^[0-9A-F]{40}$")


class Download(StrictModel):
    """A base that its project publishes. Without a pinned `sha256` the signed one counts, read when it is
    fetched: then the project gives the image no dated name.
    """

    kind: Literal["download"]
    url: Url
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    signed: Signed


class WindowsMedia(StrictModel):
    """A base that Windows Setup makes from Microsoft's ISO, which the spec names: its terms and its
    download page leave no URL that a digest could be pinned to.

    `image`: NAME of the wanted image in the ISO's install.wim. `drivers`: the release's folder in the
    virtio-win ISO.
    """

    kind: Literal["windows-media"]
    image: str
    drivers: str = Field(pattern=r"^2k\d{2}$")
    tpm: bool = False


class Target(StrictModel):
    """One OS release."""

    name: str
    folder: Path
    title: str
    family: Literal["apt", "zypper", "windows"]
    python: Python
    firewall: Literal["nftables", "ufw", "firewalld", "windows"]
    # cloud-init's names of what configures the network; empty: what the image itself says.
    network_renderers: tuple[str, ...] = ()
    # What the guest needs from the release's own packages: program -> package.
    programs: dict[str, str] = Field(default_factory=dict)
    base: Annotated[Mmdebstrap | Download | WindowsMedia, Field(discriminator="kind")]

    @property
    def is_windows(self) -> bool:
        """Whether the release is a Windows: the one family with another payload, user-data and bake."""
        return self.family == "windows"


def _load(folder: Path) -> Target:
    path = folder / FILE_NAME
    try:
        data = tomllib.loads(path.read_text("utf-8"))
        return Target.model_validate({"name": folder.name, "folder": folder, **data})
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise SpecError(f"{path}: {error}") from None
    except ValidationError as error:
        raise SpecError(f"{path}: {first_problem(error)}") from None


def all_targets(root: Path | None = None) -> tuple[Target, ...]:
    """Every target, by name; `root` is another images/ folder. Raises SpecError for a broken one."""
    root = root or paths.data_folder("images")
    return tuple(_load(item) for item in sorted(root.iterdir()) if (item / FILE_NAME).is_file())


def get(name: str, root: Path | None = None) -> Target:
    """The target called `name`; SpecError when there is none."""
    root = root or paths.data_folder("images")
    if not re.fullmatch(r"[a-z][a-z0-9.-]*", name) or not (root / name / FILE_NAME).is_file():
        names = ", ".join(sorted(item.parent.name for item in root.glob(f"*/{FILE_NAME}")))
        raise SpecError(f"target {name!r}: there is no such target", f"the targets are: {names}")
    return _load(root / name)
