"""Files and arguments that somebody made to do harm: an exit code and a message, never a traceback.

Each document is one that notebake wrote, with one value, key or byte of it replaced.
"""

from __future__ import annotations

import base64
import copy
import io
import json
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests import catalogs
from tests.conftest import GOLDEN_SPEC

from notebake.catalog import promote, signing, simplestreams
from notebake.catalog.catalog import Catalog
from notebake.catalog.signing import PrivateKey
from notebake.cli import main
from notebake.record import diff, record

BOUNDED = settings(
    derandomize=True,
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
CODES = {0, 2, 3, 4, 5, 6, 7}

VALUES: list[Any] = [
    "../../x", "/etc/passwd", "..", "", " ", "\0", "a\0b", "a/b", "a\\b", "CON", "a" * 300, "x" * 5000,
    "\u202egnp.exe", "\ud800", "\n- evil: 1\n", "'; rm -rf / #", "$(id)", "{{ 7*7 }}", "[[ 7*7 ]]",
    "${var.x}", "%n%s", "\x1b]0;x\x07", "\x1b[2J", "\x9b2J",
    "x |\n\n# Heading\n\n![](https://evil.example/t.png)", "<script>alert(1)</script>",
    "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "1" * 5000 + ".0.0", "١.٠.٠", "1e999",
    "https://[", -1, 0, 10**400, 2**63, 2**31, 1.5, 1e308, float("nan"), float("inf"), True, False, None,
    [], {}, [[]], {"": ""}, {"../..": "x"}, {"\x1b[2J": "1"}, ["x"] * 3000,
]  # fmt: skip
RAW: list[bytes] = [
    b"", b"null", b"[]", b"{}", b"0", b"\0", b"NaN", b"-", b"1" * 5000, b"\xff\xfe{\0}\0", b"\xef\xbb\xbf{}",
    b'{"a":"\xe9"}', b"[" * 100_000, b'{"a":' * 1000 + b"1" + b"}" * 1000, b'{"a":1}{"b":2}', b'"\\ud800"',
    b"a." * 20_000 + b"b = 1", b"x = " + b"9" * 5000, b"x = 0x" + b"f" * 5000, b"a = " + b"[" * 50_000,
]  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of each value of a document; of a long list or table only of the first ones."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items)[:30]:
        yield (*path, key)
        yield from places(item, (*path, key))


def damaged(document: Any) -> st.SearchStrategy[bytes]:
    """Return JSON made of `document`: one value or key replaced or missing; sometimes other bytes."""

    def change(place: tuple[Any, ...], value: Any, how: str) -> bytes:
        whole = copy.deepcopy(document)
        parent = whole
        for key in place[:-1]:
            parent = parent[key]
        if how == "key" and isinstance(parent, dict):
            parent[str(value)] = parent.pop(place[-1])
        elif how == "delete":
            del parent[place[-1]]
        else:
            parent[place[-1]] = value
        return json.dumps(whole, ensure_ascii=False).encode("utf-8", "surrogatepass")

    # Surrogates as escapes are another document than as bytes.
    escaped = st.just(json.dumps(document).replace("debian", "\\ud800", 1).encode())
    changes = st.builds(
        change,
        st.sampled_from(list(places(document))),
        st.sampled_from(VALUES),
        st.sampled_from(["value", "value", "value", "key", "delete"]),
    )
    return st.one_of(changes, changes, changes, st.sampled_from(RAW), escaped)


class Workplace:
    """A folder with images, a signed catalog and its key, in which commands run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        signing.make_key(folder / "k")
        self.signer: PrivateKey = signing.private_key(folder / "k")
        catalog = Catalog(str(folder / "whole"))
        for number in range(2):
            catalogs.put(catalog, folder / "baked", number, self.signer)
            if number == 0:
                entry = catalog.find("debian-13@candidate")
                promote.promote(catalog, entry, "stable", signer=self.signer, now=catalogs.START)

    def json(self, path: str) -> Any:
        return json.loads((self.folder / path).read_bytes())

    def fresh(self) -> Path:
        """Return a copy of the catalog."""
        shutil.rmtree(self.folder / "cat", ignore_errors=True)
        return shutil.copytree(self.folder / "whole", self.folder / "cat")

    def run(self, *args: object, encoding: str = "utf-8") -> str:
        """Run a command; return what it printed, with an exit code of notebake and no control character."""
        raw = io.BytesIO()
        out = io.TextIOWrapper(raw, encoding=encoding, write_through=True)
        with pytest.raises(SystemExit) as caught, redirect_stdout(out), redirect_stderr(out):
            sys.stdin = io.StringIO("secret\n")
            main.main([str(arg) for arg in args])
        text = raw.getvalue().decode(encoding, "replace")
        assert caught.value.code in CODES, text
        for control in ("\x1b", "\x07", "\x9b", "\0", "\u202e", "Traceback"):
            assert control not in text, repr(text)
        if caught.value.code and args[0] != "probe":  # it prints a row for each failed check
            assert text.startswith(("error: ", "note: ", "warning: ", "Usage: ")), text
        return text


def unknown(*args: object, **settings: object) -> None:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    folder = tmp_path_factory.mktemp("hostile")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("sys.stdin", io.StringIO())
        patch.setattr(socket, "getaddrinfo", unknown)
        for name in ("STATE", "CACHE"):
            patch.setenv(f"XDG_{name}_HOME", str(folder / name.lower()))
        yield Workplace(folder)


SPEC = tomlkit.parse(GOLDEN_SPEC).unwrap() | {
    "packages": ["notebook", "ipykernel", "ipywidgets", "numpy", "scipy", "matplotlib", "pandas"],
    "user": "azureuser",
    "targets": ["debian-13"],
    "certificate": {"names": ["a.example", "10.0.0.1"]},
    "endpoint": {"name": "ipython_nb", "public_port": 443},
    "image": {"os_packages": ["git"], "run": [{"script": "s"}], "files": [{"source": "s", "path": "/etc/x"}]},
    "base": {"ubuntu-24.04": {"url": "https://h/x.img", "sha256": "0" * 64}},
    "windows": {"iso": "x.iso", "iso_sha256": "0" * 64},
    "updates": {"automatic": "all", "reboot": "03:00"},
}
SPEC["mirrors"] |= {"proxy": "http://h:3128", "no_proxy": ["h"], "ca_certificates": []}
SPEC["notebook"] |= {"folder": "notebooks", "port": 9999, "profile": "nbserver", "preload": []}


def toml(data: bytes) -> bytes:
    """Return a document in JSON as TOML, or as it is if TOML has no such value."""
    try:
        return tomlkit.dumps(json.loads(data)).encode("utf-8", "surrogatepass")
    except (ValueError, TypeError, AttributeError, RecursionError):
        return data


@BOUNDED
@given(damaged(SPEC), st.sampled_from(["debian-13", "ubuntu-24.04", "windows-2025"]))
def test_a_hostile_spec(place: Workplace, data: bytes, target: str) -> None:
    (place.folder / "notebake.toml").write_bytes(toml(data))
    (place.folder / "s").write_text("true\n")
    place.run("plan", target)
    place.run("render", target, "-o", "rendered")


RECORD = json.loads(catalogs.small().to_json())


@BOUNDED
@given(damaged(RECORD), st.integers(0, 4))
def test_a_hostile_record(place: Workplace, data: bytes, command: int) -> None:
    image = place.folder / "one/debian-13.qcow2"
    image.parent.mkdir(exist_ok=True)
    shutil.copy(place.folder / "baked/1/debian-13.qcow2", image)
    image.with_suffix(".json").write_bytes(data)
    other = place.folder / "baked/0/debian-13.qcow2"
    shutil.rmtree(place.folder / "new", ignore_errors=True)
    place.run(*[
        ("diff", other, image),
        ("diff", image, other, "--json"),
        ("diff", other, image, "--markdown"),
        ("report", image, "--before", other, "-o", "r.html"),
        ("catalog", "add", image, "--catalog", "new", "--key", "k"),
    ][command])  # fmt: skip


@BOUNDED
@given(damaged(RECORD["software"]))
def test_the_sbom_of_any_inventory(place: Workplace, data: bytes) -> None:
    """What a machine reports of itself goes all the way into a catalog."""
    image = place.folder / "one/debian-13.qcow2"
    image.parent.mkdir(exist_ok=True)
    shutil.copy(place.folder / "baked/1/debian-13.qcow2", image)
    known = record.load(place.folder / "baked/1/debian-13.qcow2")
    text = known.to_json().decode()
    whole = json.loads(text)
    try:
        whole["software"] = json.loads(data)
    except (ValueError, RecursionError):
        return
    image.with_suffix(".json").write_text(json.dumps(whole))
    shutil.rmtree(place.folder / "new", ignore_errors=True)
    place.run("catalog", "add", image, "--catalog", "new", "--key", "k")
    place.run("report", "--catalog", "new")


@BOUNDED
@given(damaged(json.loads(catalogs.probe().model_dump_json())))
def test_a_hostile_probe_report(place: Workplace, data: bytes) -> None:
    (place.folder / "p.json").write_bytes(data)
    shutil.rmtree(place.folder / "new", ignore_errors=True)
    image = place.folder / "baked/1/debian-13.qcow2"
    place.run("catalog", "add", image, "--probe", "p.json", "--catalog", "new", "--key", "k")
    if (place.folder / "new").exists():
        place.run("report", "debian-13@candidate", "--catalog", "new", "-o", "r.html")


READERS = [
    ("catalog", "list"), ("catalog", "list", "--json"), ("catalog", "verify", "--public-key", "k.pub"),
    ("catalog", "show", "debian-13@stable"), ("diff", "debian-13@stable", "debian-13@candidate"),
    ("report", "debian-13@stable", "-o", "r.html"), ("report", "-o", "r.html"),
    ("promote", "debian-13@candidate", "--key", "k"), ("rollback", "debian-13", "--key", "k"),
    ("catalog", "prune", "--older-than", "1"), ("catalog", "check", "--key", "k"),
]  # fmt: skip


@pytest.fixture(scope="module")
def document(place: Workplace) -> Callable[[str], Any]:
    return lambda path: place.json(f"whole/{path}")


@BOUNDED
@given(st.data(), st.sampled_from(READERS), st.booleans())
def test_a_hostile_entry(
    place: Workplace, data: st.DataObject, command: tuple[str, ...], index: bool
) -> None:
    catalog = place.fresh()
    entry = place.json("whole/entries/debian-13/1.0.1.json")
    (catalog / "entries/debian-13/1.0.1.json").write_bytes(data.draw(damaged(entry)))
    if not index:
        (catalog / simplestreams.PRODUCTS).unlink()
    place.run(*command, "--catalog", catalog)


@BOUNDED
@given(st.data(), st.sampled_from(READERS))
def test_a_hostile_index(place: Workplace, data: st.DataObject, command: tuple[str, ...]) -> None:
    catalog = place.fresh()
    index = place.json(f"whole/{simplestreams.PRODUCTS}")
    (catalog / simplestreams.PRODUCTS).write_bytes(data.draw(damaged(index)))
    place.run(*command, "--catalog", catalog)


@BOUNDED
@given(st.data(), st.sampled_from(READERS), st.booleans(), st.booleans())
def test_a_hostile_signature(
    place: Workplace, data: st.DataObject, command: tuple[str, ...], move: bool, inside: bool
) -> None:
    catalog = place.fresh()
    files = "channels/debian-13/*.json" if move else "images/*/*/provenance.dsse.json"
    path = sorted(catalog.glob(files))[0]
    envelope = json.loads(path.read_bytes())
    if inside:  # well signed, but not what notebake signs
        statement = json.loads(base64.b64decode(envelope["payload"]))
        path.write_bytes(place.signer.sign(data.draw(damaged(statement))))
    else:
        path.write_bytes(data.draw(damaged(envelope)))
    place.run(*command, "--catalog", catalog)


TEXTS = st.sampled_from([value for value in VALUES if isinstance(value, str)]) | st.text(max_size=20)
COMMANDS: list[tuple[str, ...]] = [
    ("catalog", "show", "{}"), ("diff", "{}", "{}"), ("report", "{}", "-o", "r.html"), ("plan", "{}"),
    ("promote", "{}@stable", "{}", "--key", "k"), ("rollback", "debian-13", "{}", "--key", "k"),
    ("launch", "--image", "baked/1/debian-13.qcow2", "--name", "../{}"), ("logs", "{}"), ("stop", "{}"),
    ("catalog", "list", "{}"), ("render", "{}"), ("lock", "{}"), ("ps", "{}"),
    ("probe", "{}", "--password-stdin"), ("probe", "https://{}/", "--token-stdin"),
    ("catalog", "list", "--catalog", "{}"), ("{}",), ("ssh", "{}"),
    ("catalog", "list", "--catalog", "https://{}/"), ("catalog", "list", "--catalog", "{}://x"),
    ("ci", "github", "--requirement", "{}"),
    ("ci", "github", "--requirement", "notebake==1", "--index", "{}"),
    ("ci", "github", "--requirement", "git+https://{}@" + "0" * 40), ("schema", "{}"),
    ("init", "--mirrors", "{}"), ("catalog", "prune", "--older-than", "{}"),
    ("launch", "debian-13", "--image", "x", "--timeout", "{}"), ("doctor", "--for", "{}"),
    ("launch", "debian-13", "--image", "x", "--memory", "{}"),
    ("launch", "debian-13", "--image", "x", "--disk", "{}", "--cpus", "{}"),
    ("probe", "h", "--timeout-scale", "{}"), ("plan", "debian-13", "--spec", "{}"),
    ("launch", "--image", "{}"), ("catalog", "add", "{}", "--key", "k"),
    ("catalog", "verify", "--public-key", "{}"), ("catalog", "check", "--key", "{}"),
    ("probe", "h", "--fingerprint", "{}", "--token-stdin"), ("report", "{}", "--before", "{}"),
    ("delete", "--yes", "{}"),
]  # fmt: skip


@settings(BOUNDED, max_examples=200)
@given(
    st.sampled_from(COMMANDS),
    TEXTS | st.sampled_from(["nan", "inf", "-inf", "1e400", "9" * 5000, "-1", "0x1"]),
)
def test_hostile_arguments(place: Workplace, words: tuple[str, ...], text: str) -> None:
    (place.folder / "notebake.toml").write_text("")
    place.run(*(word.replace("{}", text) for word in words))


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "ascii"])
def test_every_output_goes_into_every_encoding(place: Workplace, encoding: str) -> None:
    known = catalogs.bumped(catalogs.small(), **{"naïve-日本": "1.0"})
    image = catalogs.write(place.folder / encoding, 9, known)
    for more in ((), ("--markdown",), ("--json",)):
        place.run("diff", place.folder / "baked/0/debian-13.qcow2", image, *more, encoding=encoding)
    place.run("plan", "日本→", encoding=encoding)
    place.run("--help", encoding=encoding)


def test_a_record_writes_no_lines_of_its_own_into_release_notes() -> None:
    bad = [
        "x |\n\n# Security notice\n\n![](https://e.example/t.png)\n", "\x1b]0;owned\x07", "`` ` |", "a\\|b",
        "<img src=x>", "@everyone", "[a](javascript:b)", "www.evil.example", "~~x~~", "&lt;", "*b*", "__b__",
    ]  # fmt: skip
    old = catalogs.small()
    new = catalogs.changed(old, lambda data: data["os_packages"].update(dict.fromkeys(bad, "\n## 1")))
    text = diff.markdown(diff.difference(old, new, names=("<b>old</b>", "new\n# x")))
    lines = text.splitlines()
    assert [line for line in lines if line.startswith("#")] == [
        "## `<b>old</b>` -> `new # x` (minor)",
        "### Os packages",
    ]
    rows = [line for line in lines if line.startswith("| ")]
    assert len(rows) == 1 + len(bad)
    for row in rows:
        # In a cell code ends with as many backticks as it began with; what is left is plain.
        assert row.replace("\\|", "").count("|") == 4
    assert r"| `` `` ` \| `` |" not in text and "\x1b" not in text


def test_bytes_that_are_no_text_in_arguments(place: Workplace) -> None:
    """The kernel gives a program any bytes; Python makes them halves of surrogate pairs."""
    place.run("plan", os.fsdecode(b"debian-\xff"))
    place.run("catalog", "show", os.fsdecode(b"\xff@stable"))
