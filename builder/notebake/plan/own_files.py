"""The scripts and files that the spec's [image] names, read once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from notebake.errors import SpecError
from notebake.plan.spec_image import Image

_SHELLS = ("sh", "bash", "dash", "ash", "ksh", "zsh")
_HINT = "name a file (not a command), by its path from the folder of notebake.toml"


@dataclass(frozen=True, kw_only=True)
class Script:
    """`name`: as in the spec; `argv`: the program that runs it, before the script's path."""

    name: str
    when: str
    argv: tuple[str, ...]
    data: bytes


@dataclass(frozen=True, kw_only=True)
class OwnFile:
    """A file for the machine: `path` is absolute."""

    path: str
    mode: int
    data: bytes


def _read(folder: Path, name: str, field: str) -> bytes:
    path = folder / name
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise SpecError(f"{field}: {path}: no such file", _HINT) from None
    except (OSError, ValueError) as error:
        raise SpecError(f"{field}: {path}: cannot be read: {error}", _HINT) from None


def interpreter(first_line: str) -> tuple[str, ...]:
    """Return the program that runs a script with `first_line`: that of `#!`, else sh; a shell gets -e."""
    words = first_line.removeprefix("#!").split() if first_line.startswith("#!") else []
    words = words or ["/bin/sh"]
    name = PurePosixPath(words[0]).name
    if name == "env" and len(words) > 1:
        # -S: env splits its one argument, as is done here.
        words = [words[0], *(word for word in words[1:] if word != "-S")]
        name = next(
            (PurePosixPath(word).name for word in words[1:] if word[0] != "-" and "=" not in word), ""
        )
    return (*words, "-e") if name in _SHELLS else tuple(words)


def scripts(image: Image, folder: Path) -> tuple[Script, ...]:
    """Return the scripts of [[image.run]], in order. Raises SpecError for one that no machine could run."""
    found = []
    for item in image.run:
        data = _read(folder, item.script, "image.run")
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            text = "\0"
        if "\0" in text:
            raise SpecError(
                f"image.run: {item.script}: not a text file (UTF-8)",
                "copy a program with [[image.files]], and start it from a script",
            )
        if text.startswith("\ufeff") or "\r\n" in text:
            raise SpecError(
                f"image.run: {item.script}: has the line ends or the byte order mark of Windows",
                "save it with Unix line ends, without a byte order mark",
            )
        argv = interpreter(text.split("\n", 1)[0])
        found.append(Script(name=item.script, when=item.when, argv=argv, data=data))
    return tuple(found)


def files(image: Image, folder: Path) -> tuple[OwnFile, ...]:
    """Return the files of [[image.files]], in order. Raises SpecError."""
    return tuple(
        OwnFile(path=item.path, mode=int(item.mode, 8), data=_read(folder, item.source, "image.files"))
        for item in image.files
    )
