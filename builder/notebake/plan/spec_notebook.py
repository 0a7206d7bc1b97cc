"""The spec's tables on the notebook server: how it runs, its certificate, where it is published."""

from __future__ import annotations

import ipaddress
import re
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from notebake import urls
from notebake.address import PATH
from notebake.plan import preload
from notebake.validation import StrictModel

# The format of jupyter_server's PasswordIdentityProvider.hashed_password: "argon2:" followed by the
# PHC string of argon2id.
_ARGON2 = re.compile(
    r"argon2:\$argon2id\$v=19\$m=\d{1,9},t=\d{1,5},p=\d{1,3}\$[A-Za-z0-9+/]{11,128}\$[A-Za-z0-9+/]{22,128}"
)
_PROFILE = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
# Not a user's, or empty after a reboot: the server would find no folder, or could not write to it.
_SYSTEM = (
    "/bin", "/boot", "/dev", "/etc", "/lib", "/opt/notebake", "/proc", "/root", "/run", "/sbin", "/sys",
    "/tmp",
    "/usr", "/var/cache", "/var/lib/cloud", "/var/lib/notebake", "/var/log", "/var/run", "/var/tmp",
)  # fmt: skip
_HOST_NAME = re.compile(
    r"(?=.{1,253}$)(\*\.)?([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*"
    r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
)

Port = Annotated[int, Field(ge=1, le=65535, strict=True)]


class Notebook(StrictModel):
    """How the notebook server runs."""

    folder: str = Field(
        "notebooks", description="Folder of the notebooks: absolute, or relative to the user's home."
    )
    port: Port = Field(9999, description="Port that the server listens on in the machine.")
    profile: str = Field("nbserver", description="Name of the IPython profile and of the kernel.")
    pylab: Literal["inline", "agg", "auto", "none"] = Field(
        "inline", description="Value of `IPKernelApp.pylab`; none does not set it."
    )
    password: str | None = Field(
        None,
        description="argon2id hash for jupyter_server, set by `notebake passwd`; without a password, each "
        "machine generates a token at its first boot and prints it on its console.",
    )
    preload: tuple[str, ...] = Field(
        (),
        description="What to copy to the folder on each machine: files, folders; `examples`, notebooks that "
        "come with notebake; git+https://HOST/REPOSITORY@COMMIT; the URL of a tar with #sha256=DIGEST.",
    )
    cull_idle_timeout: int = Field(
        86_400,
        ge=0,
        strict=True,
        description="Seconds after which an idle kernel without an open page ends; 0 keeps it.",
    )
    kernel_memory: int | None = Field(
        None,
        ge=256,
        strict=True,
        description="Memory that a kernel may take, in MiB; more is a MemoryError in its cell. Not on "
        "Windows.",
    )
    export: tuple[Literal["pdf"], ...] = Field(
        (),
        description='Formats of "Save and Export As" beside HTML, Markdown, slides and scripts: pdf installs '
        "pandoc and TeX (and adds LaTeX, AsciiDoc and reStructuredText). On Debian and Ubuntu.",
    )
    sudo: bool = Field(
        False,
        strict=True,
        description="Code in a notebook can become root by sudo, and the server has no sandbox: for a "
        "machine of your own.",
    )
    metadata: bool = Field(
        False,
        strict=True,
        description="Kernels can reach a cloud's metadata service: it has user-data and credentials.",
    )

    base_url: str = Field(
        "/",
        description="Path at which the server's pages begin, for a reverse proxy that publishes several "
        "machines: /lab/.",
    )
    origin: str | None = Field(
        None,
        description="The address of a reverse proxy that asks with another Host than the browser: "
        "https://hub.example.org. Pages from there may use the kernels.",
    )

    @field_validator("base_url")
    @classmethod
    def _base_url(cls, value: str) -> str:
        if value != "/" and not (value.endswith("/") and PATH.fullmatch(value[:-1])):
            raise ValueError(
                "must begin and end with `/`, with letters, digits, `.`, `_`, `~` and `-` between"
            )
        return value

    @field_validator("origin")
    @classmethod
    def _origin(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urls.parse(value, schemes=("https",))
        if parts.path:
            raise ValueError("must be https://HOST or https://HOST:PORT, without a path")
        # As browsers send it.
        return value.lower().removesuffix(":443")

    @field_validator("folder")
    @classmethod
    def _folder(cls, value: str) -> str:
        if not value or "\0" in value or ".." in PurePosixPath(value).parts or value.startswith("~"):
            raise ValueError(
                "must be absolute or relative to the user's home, without `..`, NUL or a leading `~`"
            )
        if str(PurePosixPath(value)) in ("/", "."):
            raise ValueError("must not be the root or home folder itself")
        if system := [name for name in _SYSTEM if PurePosixPath(value).is_relative_to(name)]:
            raise ValueError(f"must not be below {system[0]}: use a folder in the user's home, or /srv")
        return value

    @field_validator("profile")
    @classmethod
    def _profile(cls, value: str) -> str:
        if not _PROFILE.fullmatch(value):
            raise ValueError(
                "must be 1 to 64 of a-z, 0-9, `.`, `_` and `-`, and start with a letter or digit: Jupyter "
                "lists no kernel with a capital letter"
            )
        return value

    @field_validator("password")
    @classmethod
    def _password(cls, value: str | None) -> str | None:
        if value is not None and not _ARGON2.fullmatch(value):
            # Without the value: it may be the password itself.
            raise ValueError("not an argon2id hash for jupyter_server; `notebake passwd` sets one")
        return value

    @field_validator("preload")
    @classmethod
    def _preload(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for entry in value:
            if not entry or "\0" in entry:
                raise ValueError(f"{entry!r} is not a file, a folder or a URL")
        folders = [preload.fetched(entry).folder for entry in value if preload.is_url(entry)]
        if len(set(folders)) != len(folders) or len(set(value)) != len(value):
            raise ValueError("the same name is listed twice")
        return value


class Certificate(StrictModel):
    """Generated on the machine and self-signed, unless `certificate` and `key` are set."""

    names: tuple[str, ...] = Field((), description="Additional DNS names and addresses for subjectAltName.")
    certificate: str | None = Field(
        None, description="Your own certificate (PEM file), followed by its issuers."
    )
    key: str | None = Field(
        None,
        description="Its private key (PEM file). Never rendered or baked: `notebake launch` copies it.",
    )

    @field_validator("names")
    @classmethod
    def _names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            try:
                ipaddress.ip_address(name)
            except ValueError:
                if not _HOST_NAME.fullmatch(name):
                    raise ValueError(f"{name!r} is neither a DNS name nor an address") from None
        return value

    @model_validator(mode="after")
    def _both(self) -> Certificate:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("set both `certificate` and `key`, or neither for a self-signed certificate")
        return self


class Endpoint(StrictModel):
    """Where the notebook server is published."""

    name: str = Field("ipython_nb", min_length=1, max_length=64, description="Name of the endpoint.")
    public_port: Port = Field(443, description="Port that the server is published on.")
