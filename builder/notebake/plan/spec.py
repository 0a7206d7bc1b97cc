"""The spec: `notebake.toml`, read once, validated completely, frozen.

Only `load` reads the file. Paths in a spec are relative to its folder. Every error names its field.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from pydantic import Field, ValidationError, field_validator, model_validator

from notebake.errors import SpecError
from notebake.validation import StrictModel

FILE_NAME = "notebake.toml"
DEFAULT_PACKAGES = ("notebook", "ipykernel", "ipywidgets", "numpy", "scipy", "matplotlib", "pandas")

# The format of jupyter_server's PasswordIdentityProvider.hashed_password: "argon2:" followed by the
# PHC string of argon2id.
_ARGON2 = re.compile(
    r"argon2:\$argon2id\$v=19\$m=\d{1,9},t=\d{1,5},p=\d{1,3}\$[A-Za-z0-9+/]{11,128}\$[A-Za-z0-9+/]{22,128}"
)
# Names that useradd accepts on Debian, openSUSE and Ubuntu (shadow's NAME_REGEX).
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,30}")
_PROFILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HOST_NAME = re.compile(
    r"(?=.{1,253}$)(\*\.)?([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*"
    r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
)

PROXY = re.compile(r"https?://[A-Za-z0-9.:_\[\]-]+/?")

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
        (), description="Notebooks (.ipynb) to copy to the folder on each machine."
    )

    @field_validator("folder")
    @classmethod
    def _folder(cls, value: str) -> str:
        if not value or "\0" in value or ".." in PurePosixPath(value).parts or value.startswith("~"):
            raise ValueError(
                "must be absolute or relative to the user's home, without `..`, NUL or a leading `~`"
            )
        if str(PurePosixPath(value)) in ("/", "."):
            raise ValueError("must not be the root or home folder itself")
        return value

    @field_validator("profile")
    @classmethod
    def _profile(cls, value: str) -> str:
        if not _PROFILE.fullmatch(value):
            raise ValueError(
                "must be 1 to 64 letters, digits, `.`, `_` or `-`, and start with a letter or digit"
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
        names = [Path(path).name for path in value]
        for path in value:
            if not path.endswith(".ipynb") or "\0" in path:
                raise ValueError(f"{path!r} is not a notebook (.ipynb)")
        if len(set(names)) != len(names):
            raise ValueError("two notebooks have the same file name")
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


class Mirrors(StrictModel):
    """Package sources for the machine, for networks with their own mirrors."""

    apt: str | None = Field(None, description="Debian or Ubuntu mirror (URL): the release and its updates.")
    apt_security: str | None = Field(
        None,
        description="Mirror of its security updates (URL). Default: on Debian Debian's own, on Ubuntu `apt`.",
    )
    apt_components: tuple[str, ...] = Field(
        (),
        description="Components taken from both. Default: on Debian `main`, on Ubuntu all four.",
    )
    zypper: str | None = Field(None, description="openSUSE repository (URL).")
    python: str | None = Field(None, description="Python package index (URL of its simple API).")
    proxy: str | None = Field(
        None,
        description="Proxy (URL, http or https) of set-up, apt, zypper and the Python index; not on Windows.",
    )
    no_proxy: tuple[str, ...] = Field((), description="Hosts and domains that are reached without it.")
    proxy_for_users: bool = Field(False, description="Kernels and terminals get the proxy too.")
    ca_certificates: tuple[str, ...] = Field(
        (), description="Additional CA certificates to trust (PEM files)."
    )

    @field_validator("apt_components")
    @classmethod
    def _components(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not re.fullmatch(r"[a-z][a-z0-9-]*(/[a-z][a-z0-9-]*)*", name):
                raise ValueError(f"{name!r} is not a component, as in `main`")
        return value

    @field_validator("no_proxy")
    @classmethod
    def _hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not re.fullmatch(r"[A-Za-z0-9._*:/\[\]-]+", name):
                raise ValueError(f"{name!r} is neither a host nor a domain")
        return value

    @field_validator("proxy")
    @classmethod
    def _proxy(cls, value: str | None) -> str | None:
        if value is not None and "@" in value:
            raise ValueError(
                "a user or password in it would be rendered in plain text: let the proxy know the machines "
                "by their addresses, or name a proxy of your own network that logs in for them"
            )
        if value is not None and not PROXY.fullmatch(value):
            raise ValueError("not the URL of a proxy, as in http://proxy.example:3128")
        return value

    @field_validator("apt", "apt_security", "zypper", "python")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"(https?|file)://[!-~]+", value):
            raise ValueError("not a URL (http, https or file, no spaces)")
        if value is not None and re.match(r"[a-z]+://[^/]*@", value):
            raise ValueError("must not contain a user or password: the URL is rendered in plain text")
        return value


class Windows(StrictModel):
    """Installation media that `notebake bake` needs for a Windows target and may not download itself."""

    iso: str | None = Field(None, description="Microsoft's installation or evaluation ISO: a file or a URL.")
    iso_sha256: str | None = Field(None, description="SHA-256 (hex) of the ISO.")
    virtio_win: str | None = Field(None, description="The virtio-win driver ISO, release 0.1.271 (a file).")

    @field_validator("iso_sha256")
    @classmethod
    def _digest(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", value):
            raise ValueError("not a SHA-256 (64 hex digits)")
        return value.lower() if value else value


class Spec(StrictModel):
    """All of `notebake.toml`."""

    packages: tuple[str, ...] = Field(
        DEFAULT_PACKAGES, min_length=1, description="Python packages (PEP 508)."
    )
    user: str = Field("azureuser", description="The user that logs in and runs the server; never root.")
    mirrors: Mirrors | Literal["host"] = Field(
        Mirrors(),
        description='Package sources, or "host": the sources and CA certificates of this host.',
    )
    notebook: Notebook = Notebook()
    certificate: Certificate = Certificate()
    endpoint: Endpoint = Endpoint()
    windows: Windows = Windows()

    @field_validator("packages")
    @classmethod
    def _packages(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        seen: set[str] = set()
        for package in value:
            try:
                requirement = Requirement(package)
            except InvalidRequirement as error:
                raise ValueError(f"{package!r} is not a requirement: {str(error).splitlines()[0]}") from None
            if requirement.url:
                raise ValueError(f"{package!r}: packages must come from the Python index, by name")
            name = canonicalize_name(requirement.name)
            if name in seen:
                raise ValueError(f"{name} is listed twice")
            seen.add(name)
        return value

    @field_validator("user")
    @classmethod
    def _user(cls, value: str) -> str:
        if not _USER.fullmatch(value):
            raise ValueError("must be 1 to 31 of a-z, 0-9, `_`, `-`, and start with a letter or `_`")
        if value == "root":
            raise ValueError("must not be root: the server never runs as root")
        return value

    @model_validator(mode="after")
    def _ports(self) -> Spec:
        if self.notebook.port == 22:
            raise ValueError("notebook.port 22 is the port of ssh")
        return self

    @model_validator(mode="after")
    def _proxy(self) -> Spec:
        named = self.mirrors if isinstance(self.mirrors, Mirrors) else Mirrors()
        if named.proxy is None and (named.no_proxy or named.proxy_for_users):
            raise ValueError("mirrors.no_proxy and mirrors.proxy_for_users need a mirrors.proxy")
        return self


def schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of a spec."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Spec.model_json_schema()}


def _problem(error: ValidationError) -> str:
    problems = []
    for detail in error.errors(include_url=False, include_input=False):
        # pydantic reports every branch of a union and puts its name into the path: not in the user's file.
        if detail["type"] == "literal_error" and detail["loc"][-1] == "literal['host']":
            continue
        where = ".".join(str(part) for part in detail["loc"] if part != "Mirrors")
        text = {"extra_forbidden": "unknown key", "model_type": "must be a table"}.get(
            detail["type"], detail["msg"].removeprefix("Value error, ")
        )
        if detail["type"] == "model_type" and "Mirrors" in detail["loc"]:
            text = 'must be a table of URLs, or "host"'
        problems.append(f"{where or 'spec'}: {text}")
    return "; ".join(dict.fromkeys(problems))


def parse(text: str, *, source: str) -> Spec:
    """Parse TOML text; `source` is the file name for messages. Raises SpecError."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{source}: not TOML: {error}", "strings need quotes; see https://toml.io") from None
    try:
        return Spec.model_validate(data)
    except ValidationError as error:
        raise SpecError(
            f"{source}: {_problem(error)}",
            "`notebake schema` prints every field with its description and default",
        ) from None


def load(path: Path) -> Spec:
    """Read the spec in the file `path`. Raises SpecError if it is missing, unreadable or invalid."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise SpecError(f"{path}: no such file", "`notebake init` writes one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: cannot be read: {error}") from None
    return parse(text, source=str(path))
