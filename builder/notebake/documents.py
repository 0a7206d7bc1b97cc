"""Parse JSON and TOML that others wrote. No other module parses either.

A document is UTF-8, with or without a byte order mark, and not larger or deeper than any that notebake
reads. Whatever its bytes are, parsing them returns or raises DocumentError.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from notebake import files, screen

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

# The index of a catalog with ten thousand images has 25 MB, a scanner's report on one image up to 20.
MAX_BYTES = 64 << 20
# Of TOML, which tomllib parses at 0.4 MB a second.
MAX_TOML_BYTES = 1 << 20
MAX_DEPTH = 32
_INTEGERS = range(-(1 << 63), 1 << 63)  # those that TOML has
_BOM = b"\xef\xbb\xbf"

# Each string ends at the end of the line at the latest, so that no text is read twice.
_PART = r"""(?:[A-Za-z0-9_-]++|"(?:[^"\\\n]|\\.)*+"?|'[^'\n]*+'?)"""
# What may have dots that join no keys, and keys: tomllib needs the square of their parts in time.
_TOKEN = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*+(?:""")?|\'\'\'(?:[^\']|\'(?!\'\'))*+(?:\'\'\')?|#[^\n]*+'
    rf"|(?P<key>{_PART}(?:[ \t]*+\.[ \t]*+{_PART})*+)",
    re.DOTALL,
)


class DocumentError(ValueError):
    """Bytes that are not a valid document; the message has no name of it."""


def _text(data: bytes, limit: int) -> str:
    if len(data) > limit:
        raise DocumentError(f"larger than {limit >> 20} MiB")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DocumentError("encoded as UTF-16; save it as UTF-8")
    try:
        return data.removeprefix(_BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        raise DocumentError(f"not UTF-8: byte {error.start + 1} is 0x{data[error.start]:02x}") from None


def parse_json(data: bytes) -> Any:
    """Return the value of a JSON document. Raises DocumentError, also for NaN and half a surrogate pair."""
    text = _text(data, MAX_BYTES)
    try:
        return from_json(text, allow_inf_nan=False)  # up to 200 levels, and 4,300 digits
    except ValueError as error:
        raise DocumentError(f"not JSON: {error}") from None


def parse_toml(data: bytes, *, limit: int = MAX_TOML_BYTES) -> dict[str, Any]:
    """Return the tables of a TOML document. Raises DocumentError."""
    text = _text(data, limit)
    keys = (token["key"] or "" for token in _TOKEN.finditer(text))
    if any(len(key) > MAX_DEPTH and len(re.findall(_PART, key)) > MAX_DEPTH for key in keys):
        raise DocumentError(f"a key has more than {MAX_DEPTH} parts")
    try:
        tables = tomllib.loads(text)
    except RecursionError:
        raise DocumentError("nested too deeply") from None
    except ValueError as error:  # also of an integer with thousands of digits
        raise DocumentError(f"not TOML: {error}") from None
    _check(tables)
    return tables


def _check(tables: dict[str, Any]) -> None:
    """Raise DocumentError for what is too deep, an integer that TOML does not have, a control character."""
    level: list[tuple[str, Any]] = [("", tables)]
    for _ in range(MAX_DEPTH):
        below: list[tuple[str, Any]] = []
        for where, value in level:
            if isinstance(value, int) and value not in _INTEGERS:
                raise DocumentError(f"{where}: an integer of more than 64 bits")
            if isinstance(value, str) and value != screen.safe(value):
                raise DocumentError(f"{where}: a text with a control character")
            if isinstance(value, dict):
                if any(key != screen.safe(key) for key in value):
                    raise DocumentError(f"{where or 'spec'}: a key with a control character")
                below += [(f"{where}.{key}".removeprefix("."), item) for key, item in value.items()]
            elif isinstance(value, list):
                below += [(where, item) for item in value]
        if not below:
            return
        level = below
    raise DocumentError("nested too deeply")


def editable_toml(data: bytes) -> TOMLDocument:
    """Return a TOML document that keeps its comments when it is changed. Raises DocumentError."""
    import tomlkit  # slow: only for a file that is changed

    parse_toml(data)
    try:
        return tomlkit.parse(_text(data, MAX_TOML_BYTES))
    except ValueError as error:
        raise DocumentError(f"not TOML: {error}") from None


def load_json(path: Path) -> Any:
    """Return the value of the JSON document in the file `path`. Raises OSError, DocumentError."""
    return parse_json(files.read(path, limit=MAX_BYTES))


def load_toml(path: Path) -> dict[str, Any]:
    """Return the tables of the TOML document in the file `path`. Raises OSError, DocumentError."""
    return parse_toml(files.read(path, limit=MAX_TOML_BYTES))
