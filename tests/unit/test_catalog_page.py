"""The page on a whole catalog: what it reads, what it shows, and what `notebake report` says."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from tests import catalogs
from tests.conftest import Run

from notebake import webpage
from notebake.catalog import channels, promote, signing
from notebake.catalog.catalog import Catalog
from notebake.catalog.page import chart, facts, history, page, timeline
from notebake.catalog.signing import Signer
from notebake.record import diff

BASH = catalogs.small().software.os_packages["bash"]
HOSTILE = "</script><img src=x onerror=alert(1)>\u202e&amp;"


def fill(catalog: Catalog, folder: Path, signer: Signer, count: int = 4) -> list[str]:
    """Add versions, each with another NumPy; the first has no sizes, the second a scanner's report."""
    folder.mkdir(exist_ok=True)
    names = []
    for number in range(count):
        known = catalogs.small()
        if number:
            known = catalogs.bumped(known, numpy=f"3.0.{number}")
        gate = None
        if number == 1:
            gate = catalogs.scanned(folder / "grype.json", ("CVE-2026-1", "High", "bash", BASH))
        probe = catalogs.probe(reboot=40.0 + number) if number != 2 else None
        names.append(
            catalogs.put(catalog, folder / "baked", number, signer, known=known, probe=probe, gate=gate)
        )
    return names


def advance(catalog: Catalog, name: str, signer: Signer, weeks: int, channel: str = "stable") -> None:
    now = catalogs.START + weeks * catalogs.WEEK
    promote.promote(catalog, catalog.find(name), channel, signer=signer, now=now)


def test_a_history_has_versions_channels_and_reports(
    catalog: Catalog, tmp_path: Path, signer: Signer
) -> None:
    names = fill(catalog, tmp_path, signer)
    advance(catalog, names[0], signer, 5)
    advance(catalog, names[1], signer, 6, "beta")
    advance(catalog, names[1], signer, 7)
    promote.rollback(catalog, "debian-13", "stable", signer=signer, now=catalogs.START + 8 * catalogs.WEEK)
    (target,) = history.read(catalogs.trusting(catalog, signer.verifier))
    numbers = [name.split("@")[1] for name in names]
    assert [version.name for version in target.versions] == numbers and target.problems == ()
    stable = [(bar.version, bar.end is None) for bar in target.segments["stable"]]
    assert stable == [(numbers[0], False), (numbers[1], False), (numbers[0], True)]
    assert [bar.version for bar in target.segments["beta"]] == [numbers[1]]
    assert target.pair == (target.versions[0], target.versions[-1])
    assert [version.time_to_notebook for version in target.versions] == [40.0, 41.0, None, 43.0]
    assert [version.probe for version in target.versions] == ["passed", "passed", None, "passed"]
    assert [version.scanned for version in target.versions] == [False, True, False, False]
    assert page.counts(target.versions[1]) == {"high": 1} and page.counts(target.versions[0]) == {}
    assert facts.packages(target.versions[0].contents) == []
    largest = facts.packages(target.versions[1].contents)[0]
    assert largest.name == max(catalogs.small().software.python_packages)


def test_without_a_stable_version_the_last_two_are_compared(
    catalog: Catalog, tmp_path: Path, signer: Signer
) -> None:
    name = catalogs.put(catalog, tmp_path / "baked", 0, signer)
    (target,) = history.read(catalog)
    assert target.pair == (None, target.versions[0]) and target.shown == target.versions[0]
    catalogs.put(catalog, tmp_path / "baked", 1, signer)
    newest = catalogs.put(catalog, tmp_path / "baked", 2, signer)
    (target,) = history.read(catalog)
    assert target.pair == target.versions[1:] and target.stable is None
    advance(catalog, newest, signer, 4)  # what is stable is not compared with itself
    (target,) = history.read(catalog)
    assert target.pair == target.versions[1:] and target.shown == target.versions[2]
    advance(catalog, name, signer, 5)
    (target,) = history.read(catalog)
    assert target.pair == (target.versions[0], target.versions[2])


def test_the_difference_is_that_of_the_command(catalog: Catalog, tmp_path: Path, signer: Signer) -> None:
    names = fill(catalog, tmp_path, signer)
    (target,) = history.read(catalog)
    old, new = target.versions[0], target.versions[3]
    expected = diff.difference(*(catalog.record(catalog.find(names[number])) for number in (0, 3)))
    changes = new.since(old)
    assert list(changes) == [name for name, rows in expected.categories.items() if rows]
    (change,) = changes["python_packages"]
    numpy = catalogs.small().software.python_packages["numpy"]
    assert (change.name, change.old and change.old.value, change.new and change.new.value) == (
        "numpy", numpy, "3.0.3",
    )  # fmt: skip
    assert change.growth is None  # the old record has no sizes
    # A size alone is none, and one report cannot be compared.
    assert list(target.versions[1].since(target.versions[0])) == ["python_packages"]
    assert target.versions[1].since(target.versions[1]) == {}


def data_of(html: bytes) -> Any:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html.decode(), re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_the_script_has_the_contents_of_every_version_once(
    catalog: Catalog, tmp_path: Path, signer: Signer
) -> None:
    fill(catalog, tmp_path, signer, 6)
    histories = history.read(catalog)
    html = page.render(histories, verified=False)
    assert html == page.render(history.read(catalog), verified=False)
    data = data_of(html)
    assert len({json.dumps(fact) for fact in data["facts"]}) == len(data["facts"])
    numbers = set[int]()
    for row, version in zip(data["targets"][0]["versions"], histories[0].versions, strict=True):
        numbers = numbers - set(row["remove"]) | set(row["add"])
        rows = {(data["categories"][fact[0]], *fact[1:3]) for fact in (data["facts"][n] for n in numbers)}
        assert rows == {(fact.category, fact.name, fact.value) for fact in version.contents}
    last = data["targets"][0]["versions"][-1]
    assert len(last["add"]) == len(last["remove"]) == 1


class Elements(HTMLParser):
    """The start tags of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_hostile_text_stays_text(catalog: Catalog, tmp_path: Path, signer: Signer) -> None:
    known = catalogs.bumped(catalogs.small(), **{HOSTILE: "1.0<!--"})
    row = (HOSTILE, "High", HOSTILE, "")
    gate = catalogs.scanned(tmp_path / "grype.json", row)
    catalogs.put(catalog, tmp_path / "baked", 0, signer)
    catalogs.put(catalog, tmp_path / "baked", 1, signer, known=known, gate=gate)
    html = page.render(history.read(catalog), verified=False)
    elements = Elements()
    elements.feed(html.decode())
    assert not [tag for tag, _ in elements.tags if tag in ("img", "iframe", "object", "base", "form")]
    for tag, attributes in elements.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
        for name in ("href", "src"):
            assert (attributes.get(name) or "#").startswith(("#", "data:,")), attributes
    assert any(fact[1] == HOSTILE for fact in data_of(html)["facts"])
    (policy,) = (row["content"] or "" for _, row in elements.tags if "http-equiv" in row)
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy


def damage(catalog: Catalog, name: str, suffix: str) -> None:
    entry = catalog.find(name)
    (file,) = (file for file in entry.files if file.endswith(suffix))
    path = Path(catalog.storage.url) / entry.folder / file
    path.write_bytes(path.read_bytes().replace(b"a", b"b", 1))


@pytest.mark.parametrize("suffix", ["13.json", "vulnerabilities.json", "provenance.dsse.json"])
def test_a_damaged_version_is_shown_and_an_error(
    run: Run, catalog: Catalog, tmp_path: Path, signer: Signer, suffix: str
) -> None:
    names = fill(catalog, tmp_path, signer)
    damage(catalog, names[1], suffix)
    code, out, err = run("report", "--public-key", "key.pub")
    assert code == 7 and "wrote catalog.html: 4 versions of 1 target" in out
    assert f"{names[1]}: " in err and "catalog.html shows them" in err
    html = (tmp_path / "catalog.html").read_text()
    assert html.count("damaged: ") == 1 and names[1] in html
    rows = data_of(html.encode())["targets"][0]["versions"]
    assert [row.keys() == {"name"} for row in rows] == [False, True, False, False]


def test_signatures_are_verified_with_a_key(
    run: Run, catalog: Catalog, tmp_path: Path, signer: Signer
) -> None:
    names = fill(catalog, tmp_path, signer, 2)
    advance(catalog, names[0], signer, 5)
    code, out, err = run("report", "--unsigned")
    assert (code, out) == (0, "wrote catalog.html: 2 versions of 1 target\n") and "not verified" in err
    assert "Signatures were not verified" in (tmp_path / "catalog.html").read_text()
    code, out, err = run("report", "-o", "all.html", "--public-key", "key.pub")
    assert (code, err) == (0, "") and "Signatures verified" in (tmp_path / "all.html").read_text()
    signing.make_key(tmp_path / "other")
    (tmp_path / "catalog.html").unlink()
    code, _, err = run("report", "--public-key", "other.pub")
    assert code == 7 and "head.dsse.json: not signed by this key" in err
    assert not (tmp_path / "catalog.html").exists()
    code, _, err = run("report", names[0], "--public-key", "other.pub")
    assert code == 7 and "not signed by this key" in err and not (tmp_path / "report.html").exists()
    assert run("report", names[0], "--public-key", "key.pub")[0] == 0


def test_a_replaced_record_with_a_matching_entry_needs_the_key_to_be_found(
    run: Run, catalog: Catalog, tmp_path: Path, signer: Signer
) -> None:
    entry = catalog.find(fill(catalog, tmp_path, signer, 2)[1])
    record = catalog.record(entry).to_json().replace(b'"3.0.1"', b'"9.9.9"')
    catalogs.replace(catalog, entry, entry.record, record)
    assert run("report", "--unsigned")[0] == 0 and "9.9.9" in (tmp_path / "catalog.html").read_text()
    head = catalog.head()
    assert head is not None
    catalogs.sign(catalog, signer, entries=head.entries)  # by someone who did not look
    code, _, err = run("report", "--public-key", "key.pub")
    assert code == 7 and "does not match the signed digest of debian-13.json" in err
    html = (tmp_path / "catalog.html").read_text()
    assert "9.9.9" not in html and "Not everything matches" in html and "Signatures verified" not in html


def test_a_channel_that_was_changed_is_a_problem(
    run: Run, catalog: Catalog, tmp_path: Path, signer: Signer
) -> None:
    names = fill(catalog, tmp_path, signer, 3)
    for week, name in enumerate(names[:2]):
        advance(catalog, name, signer, 5 + week)
    version = names[1].split("@")[1]
    head = catalog.head()
    assert head is not None
    rest = {name: digest for name, digest in head.entries.items() if name != names[1]}
    catalogs.sign(catalog, signer, entries=rest)
    code, _, err = run("report", "--public-key", "key.pub")
    assert code == 7 and f"debian-13@stable: points to {version}, which is missing" in err
    moves = tuple(move.model_copy(update={"disk": "0" * 64}) for move in head.moves)
    catalogs.sign(catalog, signer, entries=head.entries, moves=moves)
    code, _, err = run("report", "--public-key", "key.pub")
    assert code == 7 and f"debian-13@stable: {version} is not the image that was promoted" in err


def test_an_empty_catalog_has_no_page(run: Run, tmp_path: Path) -> None:
    code, out, err = run("report", "--unsigned")
    assert (code, out) == (2, "") and "no versions to report on" in err and "catalog add" in err
    assert not (tmp_path / "catalog.html").exists()


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--before", "debian-13@1.0.0"], "--before requires IMAGE"),
        (["--screenshot", "picture.png"], "--screenshot requires IMAGE"),
        (["--public-key", "none.pub"], "cannot be read"),
        (["--public-key", "picture.png", "--identity", "me"], "use either --public-key FILE or --identity"),
        (["--identity", "me"], "requires --issuer"),
    ],
)
def test_wrong_options_are_refused(run: Run, tmp_path: Path, args: list[str], says: str) -> None:
    (tmp_path / "picture.png").write_bytes(b"")
    code, _, err = run("report", *args)
    assert code == 2 and says in err and not (tmp_path / "catalog.html").exists()


class Broken(MemoryFileSystem):
    """broken://catalog has the files of memory://catalog, but the records cannot be read."""

    protocol = "broken"
    cachable = False

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.replace("broken://", "memory://")))

    def cat_file(self, path: str, *args: Any, **named: Any) -> Any:
        if path.endswith("13.json"):
            raise OSError(104, "Connection reset by peer")
        return super().cat_file(path, *args, **named)


def test_a_broken_network_is_no_damaged_version(
    run: Run, tmp_path: Path, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec.register_implementation("broken", Broken, clobber=True)
    monkeypatch.setattr(MemoryFileSystem, "store", {})
    monkeypatch.setattr(MemoryFileSystem, "pseudo_dirs", [""])
    fill(Catalog("memory://catalog"), tmp_path, signer, 3)
    assert run("report", "--unsigned", "--catalog", "memory://catalog")[0] == 0
    (tmp_path / "catalog.html").unlink()
    code, out, err = run("report", "--unsigned", "--catalog", "broken://catalog")
    assert (code, out) == (4, "") and "Connection reset by peer" in err
    assert not (tmp_path / "catalog.html").exists()


@pytest.mark.parametrize(
    ("values", "rows"),
    [
        ([331e6, 377e6], ["320 MB", "340 MB", "360 MB", "380 MB"]),
        ([350.0], ["340 B", "345 B", "350 B", "355 B", "360 B"]),
        ([9.1e9, 12.4e9], ["8,000 MB", "10 GB", "12 GB", "14 GB"]),
    ],
)
def test_a_chart_has_round_numbers(values: list[float], rows: list[str]) -> None:
    drawing = chart.lay_out(
        [f"1.0.{n}" for n in range(len(values))],
        values,
        lambda value: webpage.size(value).replace(".0 ", " "),
    )
    assert drawing is not None
    texts = [row.text for row in drawing.rows]
    assert texts == rows
    assert all(chart.TOP <= point.y <= chart.HEIGHT - chart.BOTTOM for point in drawing.points)
    assert all(chart.LEFT <= point.x <= chart.WIDTH - chart.RIGHT for point in drawing.points)


def test_a_chart_has_gaps_where_nothing_is_known() -> None:
    assert chart.lay_out(["1.0.0"], [None], str) is None
    drawing = chart.lay_out([f"1.0.{number}" for number in range(5)], [1.0, 2.0, None, 3.0, None], str)
    assert drawing is not None
    assert len(drawing.lines) == 1 and [point.number for point in drawing.points] == [0, 1, 3]


@pytest.mark.parametrize(
    ("length", "first", "count"),
    [
        (timedelta(seconds=7), "5 Jan 04:00:00", 8),
        (timedelta(minutes=4), "5 Jan 04:00", 5),
        (timedelta(hours=20), "5 Jan 06:00", 7),
        (timedelta(days=6), "6 Jan 2026", 6),
        (timedelta(days=50), "12 Jan 2026", 7),
        (timedelta(days=200), "Feb 2026", 6),
        (timedelta(days=2000), "2027", 5),
    ],
)
def test_a_time_line_has_few_ticks(length: timedelta, first: str, count: int) -> None:
    start = datetime(2026, 1, 5, 4, tzinfo=UTC)
    target = history.History(target="t", versions=(), pointers={}, segments={}, problems=())
    ticks = timeline.lay_out(target, start, start + length).ticks
    assert ticks[0].label == first and len(ticks) == count
    assert all(timeline.LEFT <= tick.x <= timeline.WIDTH - timeline.RIGHT for tick in ticks)


def test_the_labels_of_a_time_line_do_not_overlap(catalog: Catalog, tmp_path: Path, signer: Signer) -> None:
    for number in range(40):
        catalogs.put(catalog, tmp_path / "baked", number, signer)
    (target,) = history.read(catalog)
    dots = timeline.lay_out(target, *timeline.span([target])).dots
    labels = [dot for dot in dots if dot.label]
    assert dots[-1].label and 8 < len(labels) < 40 and channels.CANDIDATE in target.pointers
    for one, other in pairwise(labels):
        assert other.x - one.x >= (len(one.name) + len(other.name)) / 2 * 6.5
