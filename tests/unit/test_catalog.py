"""A catalog in a folder: add, promote, roll back, prune, wrong clocks, refused images."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests import catalogs

from notebake.catalog import add, promote, prune
from notebake.catalog.catalog import Catalog
from notebake.catalog.signing import Signer
from notebake.errors import RecordError, SpecError
from notebake.record import record, semver


def test_versions_channels_and_pruning_over_a_year_of_bakes(
    tmp_path: Path, catalog: Catalog, signer: Signer
) -> None:
    """52 weekly bakes, each made from the changed record of one real bake."""
    known, names = catalogs.small(), []
    for week in range(52):
        if week:

            def change(data: dict[str, Any], week: int = week) -> None:
                # A minor version every fourth week.
                data["python_packages"]["pandas"] = f"3.{week // 4}.{week % 4}"
                if week == 20:
                    del data["units"]["fstrim.timer"]
                if week == 40:
                    data["python"] = "3.14.0"

            known = catalogs.changed(known, change)
        name = catalogs.put(catalog, tmp_path / "baked", week, signer, known=known)
        names.append(name)
        if week != 30:
            now = catalogs.START + week * catalogs.WEEK
            promote.promote(catalog, catalog.find(name), "stable", signer=signer, now=now)
        if week == 33:
            now = catalogs.START + week * catalogs.WEEK
            before = promote.rollback(catalog, "debian-13", "stable", signer=signer, now=now)
            assert before.version == names[32].split("@")[1]
    numbers = [name.split("@")[1] for name in names]
    assert numbers[:6] == ["1.0.0", "1.1.0", "1.1.1", "1.1.2", "1.2.0", "1.2.1"]
    assert numbers[20] == "2.0.0" and numbers[40] == "3.0.0" and numbers == sorted(numbers, key=semver.number)
    assert {entry.made_from for entry in catalog.entries()} == {"fixture"}
    assert catalog.pointers("debian-13") == {
        "candidate": numbers[51], "stable": numbers[51], "previous": numbers[50],
    }  # fmt: skip
    assert catalogs.problems(catalog, signer.verifier) == []
    year = catalogs.START + 52 * catalogs.WEEK
    settings: dict[str, Any] = {"older_than": timedelta(days=90), "signer": signer, "now": year}
    planned = prune.prune(catalog, **settings, dry_run=True)
    assert len(catalog.entries()) == 52
    assert prune.prune(catalog, **settings, dry_run=False) == planned
    assert [entry.name for entry in planned] == names[:40]
    assert [entry.name for entry in catalog.entries()] == names[40:]
    assert catalogs.problems(catalog, signer.verifier) == []


def test_prune_keeps_what_channels_need(tmp_path: Path, catalog: Catalog, signer: Signer) -> None:
    names = [catalogs.put(catalog, tmp_path / "baked", week, signer) for week in range(6)]
    now = catalogs.START + 60 * catalogs.WEEK
    for name in names[:3]:
        promote.promote(catalog, catalog.find(name), "stable", signer=signer, now=now)
    prune.prune(catalog, older_than=timedelta(0), signer=signer, now=now, dry_run=False)
    assert [entry.name for entry in catalog.entries()] == [names[1], names[2], names[5]]
    before = promote.rollback(catalog, "debian-13", "stable", signer=signer, now=now)
    assert before.version == names[1].split("@")[1]
    assert catalog.pointers("debian-13")["stable"] == names[1].split("@")[1]


def test_adding_the_newest_image_again_does_nothing(tmp_path: Path, catalog: Catalog, signer: Signer) -> None:
    image = catalogs.write(tmp_path / "baked", 1)
    first = add.add(catalog, image, signer=signer, now=catalogs.START, probe=None)
    again = add.add(catalog, image, signer=signer, now=catalogs.START, probe=None)
    assert first.is_new and not again.is_new and first.entry == again.entry
    probed = add.add(catalog, image, signer=signer, now=catalogs.START, probe=catalogs.probe(image))
    assert probed.entry.version == "1.0.1" and probed.entry.probed


def test_only_a_version_that_passed_its_probe_can_be_promoted(
    tmp_path: Path, catalog: Catalog, signer: Signer
) -> None:
    now = catalogs.START + 3 * catalogs.WEEK
    name = catalogs.put(catalog, tmp_path / "baked", 1, signer, probe=catalogs.probe(passed=False))
    failed = catalog.find(name)
    never = catalog.find(catalogs.put(catalog, tmp_path / "baked", 2, signer, probe=None))
    with pytest.raises(RecordError, match="its probe failed: plot"):
        promote.promote(catalog, failed, "stable", signer=signer, now=now)
    with pytest.raises(RecordError, match="never probed"):
        promote.promote(catalog, never, "stable", signer=signer, now=now)
    with pytest.raises(SpecError, match="no such channel"):
        catalog.find("debian-13@stable")
    with pytest.raises(SpecError, match="updated automatically"):
        promote.promote(catalog, failed, "candidate", signer=signer, now=now)
    with pytest.raises(SpecError, match="no previous version"):
        promote.rollback(catalog, "debian-13", "stable", signer=signer, now=now)


def test_a_clock_that_runs_backwards_is_an_error(tmp_path: Path, catalog: Catalog, signer: Signer) -> None:
    name = catalogs.put(catalog, tmp_path / "baked", 5, signer)
    before = catalogs.snapshot(tmp_path / "catalog")
    with pytest.raises(RecordError, match="clock"):
        catalogs.put(catalog, tmp_path / "baked", 4, signer)
    with pytest.raises(RecordError, match="clock"):
        prune.prune(catalog, older_than=catalogs.WEEK, signer=signer, now=catalogs.START, dry_run=False)
    assert catalogs.snapshot(tmp_path / "catalog") == before
    promote.promote(
        catalog, catalog.find(name), "stable", signer=signer, now=catalogs.START + 6 * catalogs.WEEK
    )
    catalogs.put(catalog, tmp_path / "baked", 6, signer)
    with pytest.raises(RecordError, match="clock"):
        promote.promote(
            catalog,
            catalog.find("debian-13@candidate"),
            "stable",
            signer=signer,
            now=catalogs.START + 5 * catalogs.WEEK,
        )


def test_an_image_that_does_not_match_its_record_is_refused(
    tmp_path: Path, catalog: Catalog, signer: Signer
) -> None:
    image = catalogs.write(tmp_path / "baked", 1)
    image.write_bytes(b"other")
    with pytest.raises(RecordError, match="SHA-256 mismatch"):
        add.add(catalog, image, signer=signer, now=catalogs.START, probe=None)
    image.unlink()
    with pytest.raises(SpecError, match="no such image"):
        add.add(catalog, image, signer=signer, now=catalogs.START, probe=None)
    record.path_for(image).write_text("{}")
    with pytest.raises(RecordError, match="not a valid record"):
        add.add(catalog, image, signer=signer, now=catalogs.START, probe=None)
    assert catalog.entries() == []


def test_files_of_a_killed_writer_are_ignored_and_pruned_later(
    tmp_path: Path, catalog: Catalog, signer: Signer
) -> None:
    catalogs.put(catalog, tmp_path / "baked", 1, signer)
    half = tmp_path / "catalog/images/debian-13/abc-def/debian-13.qcow2"
    half.parent.mkdir()
    half.write_bytes(b"half a di")
    (tmp_path / "catalog/entries/debian-13/.tmp1").write_bytes(b'{"form')
    assert [entry.name for entry in catalog.entries()] == ["debian-13@1.0.0"]
    assert catalogs.problems(catalog, signer.verifier) == []
    now = datetime.now(UTC)
    settings: dict[str, Any] = {"older_than": timedelta(days=36500), "signer": signer, "dry_run": False}
    prune.prune(catalog, **settings, now=now)
    assert half.exists()  # a writer may still need it
    prune.prune(catalog, **settings, now=now + timedelta(days=2))
    assert not half.parent.exists()
    assert catalogs.problems(catalog, signer.verifier) == []


def test_an_outdated_index_hides_nothing_and_can_be_rebuilt(
    tmp_path: Path, catalog: Catalog, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogs.put(catalog, tmp_path / "baked", 1, signer)
    with monkeypatch.context() as patch:
        patch.setattr(Catalog, "write_index", lambda self, **_: None)  # as if killed before this
        catalogs.put(catalog, tmp_path / "baked", 2, signer)
    head = catalog.newest()
    assert head is not None and len(head.entries) == 2 and len(catalog.entries()) == 1
    assert catalogs.problems(catalog, signer.verifier) != []
    catalog.forget_index()
    catalog.write_index()
    assert catalogs.problems(catalog, signer.verifier) == []
