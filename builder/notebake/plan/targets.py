"""Targets: one folder under images/ for each OS release, with all its facts in `target.toml`.

To add a release of a known family, add a folder: no code contains the name of a target.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal
from urllib.parse import quote, unquote, urlsplit

from pydantic import Field, ValidationError, model_validator

from notebake import documents, paths
from notebake.documents import DocumentError
from notebake.errors import SpecError
from notebake.validation import StrictModel, first_problem

FILE_NAME = "target.toml"


class Installer(StrictModel):
    """The Python installer for Windows, from python.org, and its SHA-256."""

    url: str = Field(pattern=r"^https://[!-~]+$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Python(StrictModel):
    """The Python of the release: packages are locked for it and the environment uses it.

    `installer`: for a release without Python. `packages`: Python packages that provisioning needs in addition
    to the spec's packages.
    """

    version: str = Field(pattern=r"^3\.\d{1,2}$")
    interpreter: str = Field("/usr/bin/python3", pattern=r"^(/|[A-Z]:/)[A-Za-z0-9/._ -]+$")
    # A platform for `uv --python-platform`.
    platform: str = "x86_64-manylinux_2_28"
    installer: Installer | None = None
    packages: tuple[str, ...] = ()


class Apt(StrictModel):
    """The package archive of a Debian or Ubuntu release.

    `distribution`: its ID in os-release. `security`: where its security suite is, if not on each mirror of
    the archive. `keyring`: the file with the archive's keys, on the machine and on a host that makes its
    base.
    """

    distribution: str = Field(pattern=r"^[a-z]+$")
    suite: str = Field(pattern=r"^[a-z]+$")
    components: tuple[str, ...]
    archive: str = Field(pattern=r"^https?://[!-~]+$")
    security: str | None = Field(None, pattern=r"^https?://[!-~]+$")
    keyring: str | None = Field(None, pattern=r"^/[!-~]+$")


class Zypper(StrictModel):
    """The repositories of an openSUSE release: those that its own configuration has."""

    repositories: tuple[Annotated[str, Field(pattern=r"^https?://[!-~]+$")], ...]


class Mmdebstrap(StrictModel):
    """A base image built on this host from a Debian mirror."""

    kind: Literal["mmdebstrap"]
    suite: str
    components: tuple[str, ...] = ("main",)
    packages: tuple[str, ...]
    size_mib: int = Field(2048, ge=512)


Url = Annotated[str, Field(pattern=r"^(https?|file)://[!-~]+$")]


def _name(url: str) -> str:
    return unquote(PurePosixPath(urlsplit(url).path).name)


class Signed(StrictModel):
    """The checksum list that a project publishes, and its signature.

    `sums`: lines of SHA-256 and file name, in the format of sha256sum. `signature`: OpenPGP, detached.
    `key`: a file in images/_keys (binary OpenPGP); only its primary key `fingerprint` is trusted.
    """

    sums: Url
    signature: Url
    key: str = Field(pattern=r"^[a-z0-9-]+\.gpg$")
    fingerprint: str = Field(pattern=r"^[0-9A-F]{40}$")


class Download(StrictModel):
    """A base image that its project publishes, or the user (`file` URLs too).

    Without a pinned `sha256` the signed one is used, read at each use: for an image without a dated name.
    `date`: when it was published (YYYY-MM-DD), if its URL does not say it.
    """

    kind: Literal["download"]
    url: Url
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    signed: Signed | None = None
    date: str | None = Field(None, pattern=r"^\d{4}-\d\d-\d\d$")

    @model_validator(mode="after")
    def _verifiable(self) -> Download:
        if self.sha256 is None and self.signed is None:
            raise ValueError("a base image needs a sha256 or a signature")
        if self.sha256 is None and self.url.startswith("http:"):
            raise ValueError("a base image that is downloaded with http needs a sha256")
        return self

    @property
    def name(self) -> str:
        """The image's file name."""
        return _name(self.url)

    @property
    def is_file(self) -> bool:
        """Whether the image is a file of this host."""
        return self.url.startswith("file:")

    @property
    def origin(self) -> str:
        """Where the image comes from, for people: its URL, or `file:NAME` without this host's folders."""
        return f"file:{_name(self.url)}" if self.is_file else self.url

    def signed_at(self, url: str) -> Signed | None:
        """Return the list and signature beside an image at `url`, named as those of this image are."""
        if self.signed is None:
            return None
        folder = url.rsplit("/", 1)[0]

        def beside(old: str) -> str:
            return f"{folder}/{quote(_name(old).replace(self.name, _name(url)))}"

        return self.signed.model_copy(
            update={"sums": beside(self.signed.sums), "signature": beside(self.signed.signature)}
        )


class WindowsMedia(StrictModel):
    """A base image that Windows Setup installs from Microsoft's ISO.

    The spec names the ISO: Microsoft's terms and download page leave no URL to pin a digest for. `image`:
    NAME of the image to install from the ISO's install.wim. `drivers`: folder of the release in the
    virtio-win ISO.
    """

    kind: Literal["windows-media"]
    image: str
    drivers: str = Field(pattern=r"^2k\d{2}$")
    tpm: bool = False


class Ami(StrictModel):
    """The AMIs of the release's publisher in AWS: its account, and a pattern of their names."""

    owner: str = Field(pattern=r"^[0-9]{12}$")
    name: str


class Clouds(StrictModel):
    """The publisher's own images of the release in each cloud that has some."""

    aws: Ami | None = None


class Target(StrictModel):
    """One OS release."""

    name: str
    folder: Path
    title: str
    family: Literal["apt", "zypper", "windows"]
    python: Python
    firewall: Literal["nftables", "ufw", "firewalld", "windows"]
    # This project's tests bake it and launch it on real machines.
    tested: bool = False
    apt: Apt | None = None
    # It has no separate security updates: it is upgraded as a whole.
    rolling: bool = False
    zypper: Zypper | None = None
    # cloud-init's network renderers; empty: the image's own setting.
    network_renderers: tuple[str, ...] = ()
    # Programs that provisioning needs from the distribution: program -> package.
    programs: dict[str, str] = Field(default_factory=dict)
    cloud: Clouds = Clouds()
    base: Annotated[Mmdebstrap | Download | WindowsMedia, Field(discriminator="kind")]

    @model_validator(mode="after")
    def _archive(self) -> Target:
        if (self.apt is not None) != (self.family == "apt"):
            raise ValueError("[apt] belongs to a target of the family apt, and to no other")
        return self

    @property
    def is_windows(self) -> bool:
        """Whether the release is Windows, the one family with its own payload, user-data and bake."""
        return self.family == "windows"


def _load(folder: Path) -> Target:
    path = folder / FILE_NAME
    try:
        data = documents.load_toml(path)
        return Target.model_validate({"name": folder.name, "folder": folder, **data})
    except ValidationError as error:
        raise SpecError(f"{path}: {first_problem(error)}") from None
    except (OSError, DocumentError) as error:
        raise SpecError(f"{path}: {error}") from None


def all_targets(root: Path | None = None) -> tuple[Target, ...]:
    """Return all targets, sorted by name; `root` replaces the images/ folder. Raises SpecError."""
    root = root or paths.data_folder("images")
    return tuple(_load(folder) for folder in sorted(root.iterdir()) if (folder / FILE_NAME).is_file())


def names(root: Path | None = None) -> tuple[str, ...]:
    """Return the names of all targets, sorted."""
    root = root or paths.data_folder("images")
    return tuple(sorted(file.parent.name for file in root.glob(f"*/{FILE_NAME}")))


def get(name: str, root: Path | None = None) -> Target:
    """Return the target `name`. Raises SpecError if there is none."""
    root = root or paths.data_folder("images")
    if not re.fullmatch(r"[a-z][a-z0-9.-]*", name) or not (root / name / FILE_NAME).is_file():
        raise SpecError(f"target {name!r}: no such target", f"the targets are: {', '.join(names(root))}")
    return _load(root / name)


def chosen(named: tuple[str, ...] | None) -> tuple[Target, ...]:
    """Return the targets of a spec whose `targets` is `named`: those, by default the tested ones."""
    return tuple(
        target for target in all_targets() if (target.tested if named is None else target.name in named)
    )
