"""Where a workflow gets notebake from, and where its catalog is: both checked, neither with a secret."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import SplitResult, urlsplit

from packaging.requirements import InvalidRequirement, Requirement

from notebake import urls
from notebake.errors import SpecError

# Scheme of a catalog's URL -> the extra with its storage, and the log-in of --auth.
EXTRAS = {"s3": "s3", "gs": "gcs", "gcs": "gcs", "az": "az", "abfs": "az", "sftp": "sftp"}
AUTH = {"aws": "s3", "gcp": "gcs", "azure": "az"}

# Characters that YAML, shells and the services' own expressions take as they are.
_PLAIN = re.compile(r"[A-Za-z0-9@:/._~+=&?%,#<>!;*\[\] -]*")
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_EXAMPLES = (
    "name a commit: --requirement git+https://HOST/OWNER/notebake@COMMIT (40 hex digits); "
    "or a wheel: https://HOST/notebake-X-py3-none-any.whl#sha256=DIGEST; or notebake==X with --index URL"
)


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """A catalog for a workflow. `extra`: the extra of notebake with its storage; None for a folder."""

    url: str
    extra: str | None


def catalog(url: str) -> Catalog:
    """Return the catalog at `url`: remote storage, or a folder below the runner's checkout.

    Raises SpecError for another scheme, a folder elsewhere, or a secret in the URL.
    """
    _check_plain("--catalog", url)
    scheme, separator, _ = url.partition("://")
    if not separator:
        path = PurePosixPath(url)
        if not url or path.is_absolute() or not path.parts or ".." in path.parts or url.startswith("-"):
            raise SpecError(
                f"--catalog: {url!r} is not a folder below the checkout",
                "the runner is deleted after a run: use a URL (s3://, gs://, az://, sftp://), or a relative "
                "folder, which each run uploads as an artifact",
            )
        return Catalog(url=str(path), extra=None)
    if scheme not in EXTRAS:
        reason = "is read-only" if scheme in ("http", "https") else "is no storage that notebake knows"
        raise SpecError(
            f"--catalog: {scheme}:// {reason}", "use s3://, gs://, az:// or sftp://, or a relative folder"
        )
    parts = _split("--catalog", url)
    if parts.password is not None or parts.query or parts.fragment:
        raise SpecError(
            "--catalog: must not contain a password, a query or a fragment: everybody can read the workflow",
            "use --auth, or the service's secrets",
        )
    if not parts.hostname:
        raise SpecError(f"--catalog: {url}: no bucket", "for example: s3://my-bucket/images")
    return Catalog(url=url.rstrip("/"), extra=EXTRAS[scheme])


def path_in_repository(path: str) -> str:
    """Return the spec's `path` for commands in the checkout. Raises SpecError for a path elsewhere."""
    _check_plain("--spec", path)
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts or path.startswith("-"):
        raise SpecError(
            f"--spec: {path!r} is not below this folder", "run `notebake ci` in the repository's top folder"
        )
    return str(parts)


def check_auth(auth: str | None, where: Catalog) -> None:
    """Raise SpecError unless the log-in `auth` (a key of AUTH) fits the catalog."""
    if auth is None or where.extra == AUTH[auth]:
        return
    schemes = " or ".join(f"{scheme}://" for scheme, extra in EXTRAS.items() if extra == AUTH[auth])
    right = next((name for name, extra in AUTH.items() if extra == where.extra), None)
    raise SpecError(
        f"--auth {auth}: needs a catalog at {schemes}, but the catalog is {where.url}",
        f"use --auth {right}, or another --catalog"
        if right
        else f"leave out --auth, or name --catalog {schemes}...",
    )


def requirement(text: str | None, index: str | None, extras: set[str]) -> str:
    """Return the pip requirement for `text` with `extras` added.

    `text` is a git URL with a commit, a wheel's URL with its digest, or `notebake==X` from `index`. What it
    names runs beside the signing key, so it must always mean the same code, or come from an index that the
    user chose. Raises SpecError.
    """
    if not text:
        raise SpecError("--requirement: required: where do the jobs install notebake from?", _EXAMPLES)
    _check_plain("--requirement", text)
    found = _parse(text)
    if found.name.lower() != "notebake" or found.marker is not None:
        raise SpecError(f"--requirement: {text!r} is not a requirement of notebake alone", _EXAMPLES)
    found.extras |= extras
    if found.url is None:
        _check_release(found, index)
    else:
        if index is not None:
            raise SpecError("--index: only for notebake==X", "leave out --index: the URL says where from")
        _check_url(found.url)
    return str(found)


def check_index(index: str | None) -> None:
    """Raise SpecError unless `index` is None or the https URL of a Python index without a secret."""
    if index is None:
        return
    _check_plain("--index", index)
    _check_no_secret("--index", index)
    try:
        urls.parse(index, schemes=["https"])
    except ValueError as error:
        raise SpecError(
            f"--index: {index!r} is not an https URL: {error}", "for example: https://HOST/simple"
        ) from None


def _parse(text: str) -> Requirement:
    url = re.match(r"(git\+)?[a-z]+://", text)
    try:
        return Requirement(f"notebake @ {text}" if url else text)
    except InvalidRequirement:
        raise SpecError(f"--requirement: {text!r} is not a requirement", _EXAMPLES) from None


def _check_release(found: Requirement, index: str | None) -> None:
    pins = list(found.specifier)
    if len(pins) != 1 or pins[0].operator != "==" or pins[0].version.endswith("*"):
        raise SpecError(f"--requirement: {found} is not one release", _EXAMPLES)
    if index is None:
        raise SpecError(
            f"--requirement: {found}: no index is named", "add --index URL: the index that you publish it on"
        )


def _check_url(url: str) -> None:
    _check_no_secret("--requirement", url)
    parts = _split("--requirement", url)
    if parts.scheme == "git+https":
        commit = parts.path.rpartition("@")[2] if "@" in parts.path else ""
        if not _COMMIT.fullmatch(commit):
            raise SpecError(
                f"--requirement: {url}: no commit: a branch or a tag can change",
                "end the URL with @ and the full commit id (40 hex digits): `git rev-parse HEAD` prints it",
            )
    elif parts.scheme in ("https", "file") and parts.path.endswith(".whl"):
        if not re.fullmatch(r"sha256=[0-9a-f]{64}", parts.fragment):
            raise SpecError(
                f"--requirement: {url}: no digest", "end the URL with #sha256= and what `sha256sum` prints"
            )
    else:
        raise SpecError(f"--requirement: {url}: neither a git+https URL nor a wheel's", _EXAMPLES)


def _split(option: str, url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises, too
    except ValueError as error:
        raise SpecError(f"{option}: not a URL: {error}") from None
    return parts


def _check_no_secret(option: str, url: str) -> None:
    parts = _split(option, url)
    if "@" in parts.netloc or parts.query:
        # Not repeated in the message, which may end in a log.
        raise SpecError(
            f"{option}: must not contain a user, a password or a query: everybody can read the workflow",
            "give the runner access by its own settings: git's credential helper, pip's configuration",
        )


def _check_plain(option: str, text: str) -> None:
    if not text.isascii() or not _PLAIN.fullmatch(text):
        raise SpecError(
            f"{option}: must not contain quotes, `$`, backticks, braces, backslashes or control codes",
            "in a URL, write such characters as %XX",
        )
