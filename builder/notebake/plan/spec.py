"""The spec: `notebake.toml`, read once, validated completely, frozen.

Only `load` reads the file. Paths in a spec are relative to its folder. Every error names its field.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, field_validator, model_validator

from notebake import documents, files, urls
from notebake.documents import DocumentError
from notebake.errors import SpecError
from notebake.plan import targets
from notebake.plan.spec_base import Base, joined
from notebake.plan.spec_clouds import Aws
from notebake.plan.spec_image import Image, Updates
from notebake.plan.spec_mirrors import Mirrors
from notebake.plan.spec_notebook import Certificate, Endpoint, Notebook
from notebake.validation import StrictModel

FILE_NAME = "notebake.toml"
EXTRAS = {"science": ("ipympl", "networkx", "openpyxl", "pyarrow", "scikit-learn", "sympy")}
DEFAULT_PACKAGES = ("notebook", "ipykernel", "ipywidgets", "numpy", "scipy", "matplotlib", "pandas")

# Names that useradd accepts on Debian, openSUSE and Ubuntu (shadow's NAME_REGEX).
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,30}")

# pydantic's messages that are not in TOML's words.
_TEXTS = {
    "extra_forbidden": "unknown key",
    "model_type": "must be a table",
    "dict_type": "must be a table",
    "tuple_type": "must be a list",
}


def _user(value: str) -> str:
    if not _USER.fullmatch(value):
        raise ValueError("must be 1 to 31 of a-z, 0-9, `_`, `-`, and start with a letter or `_`")
    if value == "root":
        raise ValueError("must not be root: the server never runs as root")
    return value


UserName = Annotated[str, AfterValidator(_user)]


class Admin(StrictModel):
    """Who logs in over ssh, with the keys that the cloud knows, and may use sudo."""

    name: UserName | None = Field(
        None, description="The administrator; without it, the distribution's own: debian, ubuntu, opensuse."
    )


class Windows(StrictModel):
    """Installation media that `notebake bake` needs for a Windows target and may not download itself."""

    iso: str | None = Field(None, description="Microsoft's installation or evaluation ISO: a file or a URL.")
    iso_sha256: str | None = Field(None, description="SHA-256 (hex) of the ISO.")
    virtio_win: str | None = Field(None, description="The virtio-win driver ISO, release 0.1.271 (a file).")

    @field_validator("iso")
    @classmethod
    def _iso(cls, value: str | None) -> str | None:
        if value is not None and "://" in value:
            urls.parse(value, query=True)  # Microsoft's own has one
        return value

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
    extras: tuple[Literal["science"], ...] = Field(
        (),
        description="More packages, by one word: science adds " + ", ".join(EXTRAS["science"]) + ".",
    )
    targets: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description="The targets that a CI workflow renders and bakes; without it, those that this project "
        "tests on real machines.",
    )
    user: UserName = Field(
        "azureuser",
        description="The user that runs the server and the kernels: no administrator, no log-in over ssh.",
    )
    admin: Admin = Admin()
    mirrors: Mirrors | Literal["host"] = Field(
        Mirrors(),
        description='Package sources, or "host": the sources and CA certificates of this host.',
    )
    notebook: Notebook = Notebook()
    certificate: Certificate = Certificate()
    endpoint: Endpoint = Endpoint()
    image: Image = Image()
    updates: Updates = Updates()
    base: Annotated[dict[str, Base], BeforeValidator(joined)] = Field(
        {}, description="Other base images, by target."
    )
    windows: Windows = Windows()
    aws: Aws = Aws()

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

    @field_validator("targets")
    @classmethod
    def _targets(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        known = targets.names()
        for position, name in enumerate(value or ()):
            if name not in known:
                raise ValueError(f"{name!r}: no such target; the targets are: {', '.join(known)}")
            if name in (value or ())[:position]:
                raise ValueError(f"{name} is listed twice")
        return value

    @property
    def python_packages(self) -> tuple[str, ...]:
        """The packages and those of the extras, which they come before: each name once."""
        named = {canonicalize_name(Requirement(package).name) for package in self.packages}
        added = dict.fromkeys(name for word in self.extras for name in EXTRAS[word] if name not in named)
        return (*self.packages, *added)

    @model_validator(mode="after")
    def _ports(self) -> Spec:
        for name, port in (
            ("notebook.port", self.notebook.port),
            ("endpoint.public_port", self.endpoint.public_port),
        ):
            if port == 22:
                raise ValueError(f"{name} 22 is the port of ssh")
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
        where = ".".join(str(part) for part in detail["loc"] if part not in ("Mirrors", "list", "table"))
        text = _TEXTS.get(detail["type"], detail["msg"].removeprefix("Value error, "))
        if detail["type"] == "model_type" and "Mirrors" in detail["loc"]:
            text = 'must be a table of URLs, or "host"'
        problems.append(f"{where or 'spec'}: {text}")
    return "; ".join(dict.fromkeys(problems))


def parse(text: str | bytes, *, source: str) -> Spec:
    """Parse a spec (TOML, UTF-8); `source` is the file name for messages. Raises SpecError."""
    try:
        data = documents.parse_toml(text.encode() if isinstance(text, str) else text)
    except DocumentError as error:
        raise SpecError(f"{source}: {error}", "strings need quotes; see https://toml.io") from None
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
        data = files.read(path, limit=documents.MAX_TOML_BYTES)
    except FileNotFoundError:
        raise SpecError(f"{path}: no such file", "`notebake init` writes one") from None
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from None
    return parse(data, source=str(path))
