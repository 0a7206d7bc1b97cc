"""What the spec preloads: notebooks and other files, read once, and archives for the machine to fetch."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from notebake import documents, files, urls
from notebake.errors import SpecError

EXAMPLES = "examples"
_GIT = re.compile(r"git\+(?P<url>https?://[!-~]+?)@(?P<pin>[0-9a-f]{40})")
_TAR = re.compile(r"(?P<url>https?://[!-~]+?\.(tar|tgz|tar\.\w+))#sha256=(?P<pin>[0-9a-f]{64})")
# Folders' leftovers, which nobody means.
_SKIPPED = ("__pycache__",)


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A folder that the machine fetches: `pin` is the commit of a git URL, or the SHA-256 of a tar's."""

    folder: str
    url: str
    pin: str

    @property
    def is_git(self) -> bool:
        """Whether it is a git repository."""
        return len(self.pin) == 40


def is_url(entry: str) -> bool:
    """Return whether an entry of `preload` is a URL."""
    return "://" in entry


def fetched(entry: str) -> Fetched:
    """Return what the machine fetches for the URL `entry`. Raises ValueError for one without a pin."""
    match = _GIT.fullmatch(entry) or _TAR.fullmatch(entry)
    if match is None:
        raise ValueError(
            "a URL must be git+https://HOST/REPOSITORY@COMMIT (40 hex digits), or that of a tar with "
            "#sha256=DIGEST"
        )
    name = unquote(PurePosixPath(urls.parse(match["url"]).path).name)
    folder = re.sub(r"\.(git|tgz|tar(\.\w+)?)$", "", name)
    if not re.fullmatch(r"[^/\0.][^/\0]*", folder):
        raise ValueError(f"{folder!r} is no name for a folder: the last part of the URL's path is")
    return Fetched(folder=folder, url=match["url"], pin=match["pin"])


def check_notebook(name: str, data: bytes) -> None:
    """Raise SpecError for a notebook that Jupyter could not open. It upgrades old formats itself."""
    problem = None
    try:
        if data.startswith(codecs.BOM_UTF8):
            raise ValueError("it has a byte order mark")
        content = documents.parse_json(data)
    except ValueError as error:
        problem = str(error)
    else:
        if not isinstance(content, dict) or content.get("nbformat") not in (2, 3, 4):
            problem = "its nbformat is not 2, 3 or 4"
        elif ("cells" if content["nbformat"] == 4 else "worksheets") not in content:
            problem = "it has no cells"
    if problem:
        raise SpecError(
            f"notebook.preload: {name}: not a notebook: {problem}",
            "save it with Jupyter: JSON in UTF-8 without a byte order mark",
        )


def _files(path: Path, entry: str) -> list[tuple[str, Path]]:
    """Return (path below the notebooks' folder, file) of the file or folder `path`."""
    if path.is_file():
        return [(path.name, path)]
    if not path.is_dir():
        raise SpecError(f"notebook.preload: {path}: no such file or folder")
    top = "" if entry == EXAMPLES else f"{path.name}/"
    return [
        (top + file.relative_to(path).as_posix(), file)
        for file in sorted(path.rglob("*"))
        if file.is_file()
        and not any(part[0] == "." or part in _SKIPPED for part in file.relative_to(path).parts)
    ]


def read(entries: tuple[str, ...], folder: Path) -> tuple[tuple[str, bytes], ...]:
    """Return (path below the notebooks' folder, bytes) of all files of `entries`, sorted. Raises SpecError.

    `folder`: that of the spec. The word `examples` stands for those of this tool.
    """
    found: dict[str, bytes] = {}
    for entry in entries:
        if is_url(entry):
            continue
        source = Path(__file__).with_name(EXAMPLES) if entry == EXAMPLES else (folder / entry).resolve()
        for name, file in _files(source, entry):
            if name in found:
                raise SpecError(f"notebook.preload: {name} comes twice", "rename a file or a folder")
            try:
                found[name] = files.read(file, limit=documents.MAX_BYTES)
            except OSError as error:
                raise SpecError(f"notebook.preload: {file}: cannot be read: {error}") from None
            if name.endswith(".ipynb"):
                check_notebook(str(file), found[name])
    return tuple(sorted(found.items()))
