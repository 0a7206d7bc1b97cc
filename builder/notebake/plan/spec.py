"""The spec: `notebake.toml`, read once, checked whole, frozen.

`load` is the only reader. Paths in a spec are relative to its folder. Every error names its field.
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

# The form that jupyter_server's PasswordIdentityProvider.hashed_password reads: "argon2:" before
# the PHC string of argon2id.
_ARGON2 = re.compile(
    r"argon2:\$argon2id\$v=19\$m=\d{1,9},t=\d{1,5},p=\d{1,3}\$[A-Za-z0-9+/]{11,128}\$[A-Za-z0-9+/]{22,128}"
)
# What useradd accepts everywhere (shadow's NAME_REGEX on Debian, openSUSE and Ubuntu).
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,30}")
_PROFILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HOST_NAME = re.compile(
    r"(?=.{1,253}$)(\*\.)?([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*"
    r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
)

Port = Annotated[int, Field(ge=1, le=65535, strict=True)]


class Notebook(StrictModel):
    """How the notebook is served."""

    folder: str = Field(
        "notebooks", description="Folder of the notebooks: absolute, or below the user's home."
    )
    port: Port = Field(9999, description="Port the server listens on inside the machine.")
    profile: str = Field("nbserver", description="IPython profile and kernel name.")
    pylab: Literal["inline", "agg", "auto", "none"] = Field(
        "inline", description="`IPKernelApp.pylab`; none leaves it off."
    )
    password: str | None = Field(
        None,
        description="argon2id hash as jupyter_server reads it (`notebake passwd`); without one, each machine "
        "makes a token at its first boot and shows it on its console.",
    )
    preload: tuple[str, ...] = Field(
        (), description="Notebooks (.ipynb) to put into the folder of each machine."
    )

    @field_validator("folder")
    @classmethod
    def _folder(cls, value: str) -> str:
        if not value or "\0" in value or ".." in PurePosixPath(value).parts or value.startswith("~"):
            raise ValueError("a folder is absolute or below the user's home, with no `..`, `~` or NUL")
        if str(PurePosixPath(value)) in ("/", "."):
            raise ValueError("the notebooks need a folder of their own")
        return value

    @field_validator("profile")
    @classmethod
    def _profile(cls, value: str) -> str:
        if not _PROFILE.fullmatch(value):
            raise ValueError(
                "a profile is 1 to 64 letters, digits, `.`, `_` or `-`, and starts with a letter or digit"
            )
        return value

    @field_validator("password")
    @classmethod
    def _password(cls, value: str | None) -> str | None:
        if value is not None and not _ARGON2.fullmatch(value):
            # The value is left out: somebody may have written the password itself here.
            raise ValueError("not an argon2id hash as jupyter_server reads it; `notebake passwd` makes one")
        return value

    @field_validator("preload")
    @classmethod
    def _preload(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        names = [Path(item).name for item in value]
        for item in value:
            if not item.endswith(".ipynb") or "\0" in item:
                raise ValueError(f"{item!r} is not a notebook (.ipynb)")
        if len(set(names)) != len(names):
            raise ValueError("two notebooks have the same file name")
        return value


class Certificate(StrictModel):
    """Self-signed and made on the machine, unless both files are given."""

    names: tuple[str, ...] = Field((), description="More DNS names and addresses for subjectAltName.")
    certificate: str | None = Field(
        None, description="Your own certificate (PEM file), with that of each issuer after it."
    )
    key: str | None = Field(
        None,
        description="Its private key (PEM file). Never rendered or baked: `notebake launch` copies it over ssh.",
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
            raise ValueError("give both `certificate` and `key`, or neither for a self-signed one")
        return self


class Endpoint(StrictModel):
    """Where the notebook is published."""

    name: str = Field("ipython_nb", min_length=1, max_length=64, description="Name of the endpoint.")
    public_port: Port = Field(443, description="Port it is published as.")


class Mirrors(StrictModel):
    """Package sources inside the machine, for networks that need their own."""

    apt: str | None = Field(None, description="Debian or Ubuntu mirror (URL).")
    zypper: str | None = Field(None, description="openSUSE repository (URL).")
    python: str | None = Field(None, description="Python package index (URL of its simple API).")
    ca_certificates: tuple[str, ...] = Field((), description="More CA certificates to trust (PEM files).")

    @field_validator("apt", "zypper", "python")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"(https?|file)://[!-~]+", value):
            raise ValueError("not a URL (http, https or file, no spaces)")
        if value is not None and re.match(r"[a-z]+://[^/]*@", value):
            raise ValueError("a URL with a user or password in it would be rendered in plain text")
        return value


class Windows(StrictModel):
    """What `notebake bake` of a Windows target needs and may not fetch by itself."""

    iso: str | None = Field(None, description="Microsoft's (evaluation) ISO: a file, or a URL.")
    iso_sha256: str | None = Field(None, description="Its SHA-256 (hex).")
    virtio_win: str | None = Field(
        None, description="The ISO of virtio-win's drivers, release 0.1.271 (a file)."
    )

    @field_validator("iso_sha256")
    @classmethod
    def _digest(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", value):
            raise ValueError("not a SHA-256: 64 hex digits")
        return value.lower() if value else value


class Spec(StrictModel):
    """The whole of a `notebake.toml`."""

    packages: tuple[str, ...] = Field(
        DEFAULT_PACKAGES, min_length=1, description="Python packages (PEP 508)."
    )
    user: str = Field("azureuser", description="The user who logs in and who runs the server; never root.")
    mirrors: Mirrors | Literal["host"] = Field(
        Mirrors(),
        description='Package sources, or "host": those that this computer uses, with its own CA certificates.',
    )
    notebook: Notebook = Notebook()
    certificate: Certificate = Certificate()
    endpoint: Endpoint = Endpoint()
    windows: Windows = Windows()

    @field_validator("packages")
    @classmethod
    def _packages(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        seen: set[str] = set()
        for item in value:
            try:
                requirement = Requirement(item)
            except InvalidRequirement as error:
                raise ValueError(f"{item!r} is not a requirement: {str(error).splitlines()[0]}") from None
            if requirement.url:
                raise ValueError(f"{item!r}: packages come from the Python index, by name")
            name = canonicalize_name(requirement.name)
            if name in seen:
                raise ValueError(f"{name} is named twice")
            seen.add(name)
        return value

    @field_validator("user")
    @classmethod
    def _user(cls, value: str) -> str:
        if not _USER.fullmatch(value):
            raise ValueError("a user is 1 to 31 of a-z, 0-9, `_`, `-`, and starts with a letter or `_`")
        if value == "root":
            raise ValueError("the server never runs as root")
        return value

    @model_validator(mode="after")
    def _ports(self) -> Spec:
        if self.notebook.port == 22:
            raise ValueError("notebook.port 22 is the port of ssh")
        return self


def schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a spec."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Spec.model_json_schema()}


def _problem(error: ValidationError) -> str:
    lines = []
    for item in error.errors(include_url=False, include_input=False):
        # pydantic reports each branch of a union by itself and names it in the path; a person wrote no branch.
        if item["type"] == "literal_error" and item["loc"][-1] == "literal['host']":
            continue
        where = ".".join(str(part) for part in item["loc"] if part != "Mirrors")
        text = {"extra_forbidden": "unknown key", "model_type": "a table is wanted here"}.get(
            item["type"], item["msg"].removeprefix("Value error, ")
        )
        if item["type"] == "model_type" and "Mirrors" in item["loc"]:
            text = 'a table of URLs, or "host"'
        lines.append(f"{where or 'spec'}: {text}")
    return "; ".join(dict.fromkeys(lines))


def parse(text: str, *, source: str) -> Spec:
    """A Spec from TOML text; `source` is the file name for messages. Raises SpecError."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{source}: not TOML: {error}", "strings need quotes; see https://toml.io") from None
    try:
        return Spec.model_validate(data)
    except ValidationError as error:
        raise SpecError(
            f"{source}: {_problem(error)}",
            "`notebake schema` prints every field with its meaning and default",
        ) from None


def load(path: Path) -> Spec:
    """The Spec in the file `path`. Raises SpecError when it is missing, unreadable or wrong."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise SpecError(f"{path}: no such file", "`notebake init` writes one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: cannot be read: {error}") from None
    return parse(text, source=str(path))
