"""Attacks by whoever can write to a catalog's storage, but has no key: no command believes them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests import catalogs
from tests.conftest import Run

from notebake.catalog import add, promote, prune, refresh, signing, verify
from notebake.catalog import head as heads
from notebake.catalog.catalog import Catalog
from notebake.catalog.head import Head
from notebake.catalog.signing import Signer
from notebake.catalog.trust import Memory, Trust, together
from notebake.errors import RecordError
from notebake.files import sha256
from notebake.machines import lifecycle

WEEK = catalogs.WEEK
DAY = timedelta(days=1)
NAME = "debian-13@1.0.1"


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a key and a catalog of three versions; the second is stable, the first was before."""
    place = tmp_path_factory.mktemp("honest")
    signing.make_key(place / "key")
    signer, catalog = signing.private_key(place / "key"), Catalog(str(place / "catalog"))
    names = [catalogs.put(catalog, place / "baked", week, signer) for week in range(3)]
    for week in range(2):
        promoted(catalog, names[week], signer, 3 + week)
    return place


@pytest.fixture
def signer(honest: Path, tmp_path: Path) -> Signer:
    """The signer of that catalog; its key is in the test's folder."""
    for name in ("key", "key.pub"):
        shutil.copy(honest / name, tmp_path)
    return signing.private_key(tmp_path / "key")


@pytest.fixture
def root(honest: Path, signer: Signer, tmp_path: Path) -> Path:
    """A copy of that catalog."""
    return Path(shutil.copytree(honest / "catalog", tmp_path / "catalog"))


@pytest.fixture
def old(root: Path, tmp_path: Path) -> Path:
    """A copy of the catalog as it is now."""
    return Path(shutil.copytree(root, tmp_path / "old"))


def promoted(catalog: Catalog, name: str, signer: Signer, week: int) -> None:
    now = catalogs.START + week * WEEK
    promote.promote(catalog, catalog.find(name), "stable", signer=signer, now=now)


def reader(catalog: Catalog, signer: Signer, memory: Path, now: datetime | None = None) -> Catalog:
    """Return the catalog for a host that trusts the signer and remembers what it saw."""
    now = now or catalogs.START + 400 * WEEK
    return Catalog(catalog.storage.url, Trust(together(signer.verifier), now, Memory(memory)))


def whole(catalog: Catalog) -> Head:
    head = catalog.head()
    assert head is not None
    return head


def set_back(root: Path, old: Path) -> None:
    """Replace everything by an older, honestly signed state."""
    shutil.rmtree(root)
    shutil.copytree(old, root)


# ---- What is used is verified


COMMANDS = (
    ("launch", "--image", "debian-13@stable"),
    ("catalog", "show", "debian-13@stable"),
    ("catalog", "list"),
    ("diff", "debian-13@previous", "debian-13@stable"),
    ("report",),
    ("report", "debian-13@stable"),
    ("catalog", "verify"),
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_nothing_is_believed_of_a_catalog_that_nobody_trusts(
    command: tuple[str, ...], root: Path, run: Run
) -> None:
    code, out, err = run(*command)
    assert (code, out) == (2, "") and "trusts nobody to sign this catalog" in err
    assert "notebake catalog trust KEY --catalog catalog" in err


def test_who_is_trusted_is_set_once_for_each_catalog(root: Path, run: Run, tmp_path: Path) -> None:
    signing.make_key(tmp_path / "other")
    assert run("catalog", "trust")[2] == "catalog: nobody is trusted\n"
    code, _, err = run("catalog", "trust", "other.pub")
    assert code == 7 and "head.dsse.json: not signed by this key" in err
    assert run("catalog", "trust")[1] == ""
    code, out, _ = run("catalog", "trust", "key.pub")
    assert code == 0 and out.startswith("catalog: head 6; trusted signers:\nkey SHA256:")
    assert run("catalog", "trust")[1].startswith("key SHA256:")
    assert run("catalog", "list", "--catalog", "./catalog/")[0] == 0  # the same folder
    assert run("catalog", "list", "--catalog", str(root))[0] == 0
    shutil.copytree(root, tmp_path / "elsewhere")
    assert run("catalog", "list", "--catalog", "elsewhere")[0] == 2
    assert run("catalog", "trust", "--nobody")[0] == 0
    assert run("catalog", "list")[0] == 2


def test_the_environment_can_say_who_is_trusted(
    root: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signing.make_key(tmp_path / "other")
    monkeypatch.setenv("NOTEBAKE_PUBLIC_KEY", str(tmp_path / "key.pub"))
    assert run("catalog", "list")[0] == run("catalog", "show", "debian-13@stable")[0] == 0
    monkeypatch.setenv("NOTEBAKE_PUBLIC_KEY", str(tmp_path / "other.pub"))
    assert run("catalog", "list")[0] == 7


def test_a_private_key_names_its_public_one(root: Path, run: Run, tmp_path: Path) -> None:
    by_private = run("catalog", "trust", "key")[1]
    assert by_private == run("catalog", "trust", "key.pub")[1]
    (stored,) = (tmp_path / "config").rglob("trust.json")
    assert "PRIVATE" not in stored.read_text()


@pytest.mark.parametrize("file", ["disk", "record"])
def test_launch_refuses_what_was_replaced(
    file: str, root: Path, run: Run, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Disk, record, entry and index agree with each other, as an attacker would make them."""
    started: list[Any] = []
    monkeypatch.setattr(lifecycle, "launch", lambda request, **_: started.append(request))
    run("catalog", "trust", "key.pub")
    entry = catalog.find("debian-13@stable")
    data = {
        "disk": b"EVIL disk with a backdoor\n",
        "record": catalog.record(entry).to_json().replace(b'"metadata": false', b'"metadata": true '),
    }[file]
    catalogs.replace(catalog, entry, getattr(entry, file), data)
    code, out, err = run("launch", "--image", "debian-13@stable")
    assert (code, out, started) == (7, "", []) and "head.dsse.json: not signed by this key" in err


def test_launch_reads_the_disk_before_it_starts(
    root: Path, run: Run, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []
    monkeypatch.setattr(lifecycle, "launch", lambda request, **_: started.append(request))
    run("catalog", "trust", "key.pub")
    entry = catalog.find("debian-13@stable")
    disk = root / entry.folder / entry.disk
    disk.write_bytes(disk.read_bytes().replace(b"disk", b"risk"))
    code, _, err = run("launch", "--image", "debian-13@stable")
    assert (code, started) == (7, []) and "debian-13.qcow2 was changed" in err


def test_a_cached_disk_is_checked_again(
    root: Path, catalog: Catalog, signer: Signer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog.storage, "local", None)  # as a remote catalog: it is copied
    entry = catalog.find("debian-13@stable")
    path = catalog.image(entry, tmp_path / "cache")
    path.write_bytes(b"changed later")
    path.with_suffix(".json").write_text("{}")
    assert sha256(catalog.image(entry, tmp_path / "cache")) == entry.files[entry.disk].sha256
    assert json.loads(path.with_suffix(".json").read_text())["target"] == "debian-13"


# ---- Nothing is hidden: rollback and freeze


def last_version(root: Path) -> None:
    (root / "entries/debian-13/1.0.2.json").unlink()


def all_heads(root: Path) -> None:
    shutil.rmtree(root / "heads")
    (root / "head.dsse.json").unlink()


def all_entries(root: Path) -> None:
    shutil.rmtree(root / "entries")


def last_head(root: Path) -> None:
    """What was promoted last is undone: the head before it is valid."""
    numbers = heads.numbers([path.name for path in (root / "heads").iterdir()])
    (root / heads.path(numbers[-1])).unlink()
    shutil.copy(root / heads.path(numbers[-2]), root / "head.dsse.json")


def older_head(root: Path) -> None:
    shutil.copy(root / heads.path(3), root / "head.dsse.json")


@pytest.mark.parametrize("attack", [last_version, all_heads, all_entries, last_head, older_head])
@pytest.mark.parametrize("rebuilt", [False, True])
def test_what_was_deleted_is_found(
    attack: Callable[[Path], None],
    rebuilt: bool,
    root: Path,
    catalog: Catalog,
    signer: Signer,
    tmp_path: Path,
) -> None:
    far = reader(catalog, signer, tmp_path / "memory")
    assert verify.problems(far) == []
    attack(root)
    if rebuilt and (root / "head.dsse.json").exists() and (root / "entries/debian-13/1.0.2.json").exists():
        for path, data in catalog.index(whole(catalog)).items():
            catalog.storage.write(path, data)  # it matches the head that was put there
    assert verify.problems(far) != []


def test_an_older_state_is_refused_by_who_saw_a_newer_one(
    root: Path, old: Path, catalog: Catalog, signer: Signer, tmp_path: Path
) -> None:
    promoted(catalog, "debian-13@1.0.2", signer, 5)
    far = reader(catalog, signer, tmp_path / "memory")
    assert far.find("debian-13@stable").version == "1.0.2"
    set_back(root, old)
    with pytest.raises(RecordError, match="number 6, but this host saw number 7 already"):
        far.find("debian-13@stable")
    writer = Catalog(catalog.storage.url, far.trust)
    with pytest.raises(RecordError, match="was set back"):  # nor is it signed again
        promoted(writer, "debian-13@1.0.2", signer, 6)
    # A host that never saw the newer one has only the expiry.
    assert reader(catalog, signer, tmp_path / "new").find("debian-13@stable").version == "1.0.1"


def test_another_head_of_the_same_number_is_refused(
    root: Path, old: Path, catalog: Catalog, signer: Signer, tmp_path: Path
) -> None:
    """A writer who was shown an older state signed another future."""
    far = reader(catalog, signer, tmp_path / "memory")
    promoted(catalog, "debian-13@1.0.2", signer, 5)
    far.head()
    set_back(root, old)
    catalogs.put(catalog, tmp_path / "more", 7, signer)
    assert whole(catalog).number == 7
    with pytest.raises(RecordError, match="head number 7 is another one than this host saw"):
        far.head()


def test_a_head_of_another_catalog_is_refused(
    root: Path, catalog: Catalog, signer: Signer, tmp_path: Path
) -> None:
    """The same key signed both."""
    far = reader(catalog, signer, tmp_path / "memory")
    far.head()
    other = Catalog(str(tmp_path / "other"))
    for week in range(8):
        catalogs.put(other, tmp_path / "others", week, signer)
    set_back(root, tmp_path / "other")
    with pytest.raises(RecordError, match="another catalog than the one that this host saw"):
        far.entries()


def test_an_expired_head_is_refused(catalog: Catalog, signer: Signer, tmp_path: Path) -> None:
    image = catalogs.write(tmp_path / "baked", 1)
    add.add(catalog, image, signer=signer, now=catalogs.START, probe=None)
    for days, valid in ((29, True), (31, False)):
        far = reader(catalog, signer, tmp_path / "memory", catalogs.START + days * DAY)
        if valid:
            assert len(far.entries()) == 1
        else:
            with pytest.raises(RecordError, match="expired on 2026-02-04") as caught:
                far.entries()
            assert "catalog refresh" in str(caught.value.hint)
            assert "expired on" in verify.problems(far)[0]


def test_an_expired_head_is_signed_again_only_by_who_knows_it(
    catalog: Catalog, signer: Signer, tmp_path: Path
) -> None:
    """Else a CI job, which remembers nothing, would sign any old state that it is shown."""
    image = catalogs.write(tmp_path / "baked", 1)
    add.add(catalog, image, signer=signer, now=catalogs.START, probe=None)
    late = catalogs.START + 60 * DAY
    with pytest.raises(RecordError, match="expired"):
        refresh.refresh(catalog, signer=signer, now=late)
    with pytest.raises(RecordError, match="expired"):
        prune.prune(catalog, older_than=DAY, signer=signer, now=late, dry_run=False)
    knows = reader(catalog, signer, tmp_path / "memory", catalogs.START)
    knows.head()
    first = refresh.refresh(knows, signer=signer, now=late)
    assert first is not None and first.expires == late + 30 * DAY
    latest = late + 60 * DAY
    again = refresh.refresh(catalog, signer=signer, now=latest, expired=True, valid=90 * DAY)
    assert again is not None and again.expires == latest + 90 * DAY
    kept = refresh.refresh(catalog, signer=signer, now=latest + DAY)
    assert kept is not None and kept.expires == latest + 91 * DAY


def test_a_head_from_the_future_means_a_wrong_clock(root: Path, catalog: Catalog, signer: Signer) -> None:
    issued = whole(catalog).issued
    assert verify.problems(catalogs.trusting(catalog, signer.verifier, issued - timedelta(minutes=4))) == []
    (problem,) = catalogs.problems(catalog, signer.verifier, issued - timedelta(minutes=6))
    assert "one of the two clocks is wrong" in problem


# ---- Files are moved, copied, added


def test_swapped_entries_are_found(root: Path, catalog: Catalog, signer: Signer) -> None:
    one, two = root / "entries/debian-13/1.0.0.json", root / "entries/debian-13/1.0.2.json"
    data = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(data)
    lines = catalogs.problems(catalog, signer.verifier)
    assert [line.split(":")[0] for line in lines] == ["debian-13@1.0.0", "debian-13@1.0.2"]


def test_an_entry_of_another_target_is_found(root: Path, catalog: Catalog, signer: Signer) -> None:
    shutil.copytree(root / "entries/debian-13", root / "entries/ubuntu-24.04")
    lines = catalogs.problems(catalog, signer.verifier)
    assert len(lines) == 3 and all("entries/ubuntu-24.04/" in line for line in lines)


@pytest.mark.parametrize(
    "path",
    [
        "entries/debian-13/9.9.9.json",
        "entries/debian-13/notes.txt",
        "entries/evil.sh",
        "channels/ubuntu-24.04/000001.dsse.json",
        "heads/000099.dsse.json",
        "heads/x",
        "streams/v1/evil.json",
        "streams/v2/x",
        "install.sh",
        "IMAGE/evil.qcow2",
        "IMAGE/SHA512SUMS",
    ],
)
def test_files_beside_are_found(path: str, root: Path, catalog: Catalog, signer: Signer) -> None:
    folder = catalog.find("debian-13@stable").folder
    file = root / path.replace("IMAGE", folder)
    file.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(root / "entries/debian-13/1.0.0.json", file)
    (problem,) = catalogs.problems(catalog, signer.verifier)
    assert path.split("/")[0].replace("IMAGE", folder) in problem
    assert catalog.find("debian-13@candidate").version == "1.0.2"


def test_an_entry_in_the_year_2199_stops_nobody(
    root: Path, catalog: Catalog, signer: Signer, tmp_path: Path
) -> None:
    """It is not in the head; its number is not taken, and neither `add` nor `prune` look at its date."""
    entry = catalog.find("debian-13@1.0.2").model_copy(
        update={"version": "1.0.3", "created": datetime.fromisoformat("2199-01-01T00:00:00Z")}
    )
    (root / "entries/debian-13/1.0.3.json").write_bytes(entry.to_json())
    assert catalogs.put(catalog, tmp_path / "more", 4, signer) == "debian-13@1.0.4"
    now = catalogs.START + 5 * WEEK
    assert prune.prune(catalog, older_than=365 * DAY, signer=signer, now=now, dry_run=True) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda head: head["predicate"].update(number=10**4200),
        lambda head: head["predicate"].update(number=-1),
        lambda head: head["predicate"].update(number=1e300),
        lambda head: head["predicate"].update(expires="never"),
        lambda head: head["predicate"].update(signers=[{"identity": "me"}]),
        lambda head: head["predicate"].update(moves=[{}]),
        lambda head: head["predicate"].update(more=1),
        lambda head: head.update(predicate=[]),
        lambda head: head.update(subject={"name": 1}),
        lambda head: head["subject"].append(
            {"name": "entries/../../etc/1.0.0.json", "digest": {"sha256": "0"}}
        ),
        lambda head: head["subject"].append({"name": "entries/x/1.0.0.json", "digest": {"sha256": "zz"}}),
        lambda head: head.update(predicateType="https://slsa.dev/provenance/v1"),
        lambda head: head.clear(),
    ],
)
def test_a_head_that_says_nonsense_is_no_head(
    change: Callable[[Any], Any], root: Path, run: Run, catalog: Catalog
) -> None:
    catalogs.forge(catalog, change)
    code, _, err = run("catalog", "list", "--unsigned")
    assert code == 7 and "head.dsse.json: not" in err
    assert run("catalog", "list", "--public-key", "key.pub")[0] == 7


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b"[" * 100_000, b"9" * 5000, b"\xff\xfe", b'{"payload": 1}', b"\0"]
)
@pytest.mark.parametrize("path", ["head.dsse.json", "entries/debian-13/1.0.1.json", "PROVENANCE"])
def test_garbage_is_a_message(data: bytes, path: str, root: Path, run: Run, catalog: Catalog) -> None:
    if path == "PROVENANCE":
        path = f"{catalog.find('debian-13@stable').folder}/provenance.dsse.json"
    (root / path).write_bytes(data)
    for command in (("catalog", "verify"), ("catalog", "show", "debian-13@stable")):
        code, _, err = run(*command, "--public-key", "key.pub")
        assert code == 7 and err.startswith("error: "), err
    assert run("catalog", "show", "debian-13@stable", "--unsigned")[0] in (0, 7)


def test_a_signature_of_something_else_is_no_head(
    root: Path, catalog: Catalog, signer: Signer, tmp_path: Path
) -> None:
    """The signer did sign the provenance of an image."""
    shutil.copy(root / catalog.find(NAME).folder / "provenance.dsse.json", root / "head.dsse.json")
    (problem,) = catalogs.problems(catalog, signer.verifier)
    assert "head.dsse.json: not a valid statement" in problem


# ---- Another key takes over


def test_another_key_takes_over(root: Path, run: Run, tmp_path: Path) -> None:
    """The steps that docs/how-to/catalog.md lists."""
    signing.make_key(tmp_path / "new")
    code, _, err = run("catalog", "refresh", "--key", "new")
    assert code == 7 and "not signed by this key" in err  # nobody here trusts the one before
    assert run("catalog", "trust", "key.pub", "new.pub")[1].count("key SHA256:") == 2
    code, _, err = run("catalog", "refresh", "--key", "new")
    assert code == 7 and "never signed this catalog" in err and "--new-signer" in err
    code, _, err = run("promote", "debian-13@1.0.2", "--key", "new")
    assert code == 7 and "never signed this catalog" in err
    code, out, _ = run("catalog", "refresh", "--key", "new", "--new-signer", "--days", "40")
    assert code == 0 and "catalog: head 7, valid until" in out
    assert run("catalog", "trust", "new.pub")[0] == 0
    # What the old key signed stays valid, because the new one signed that it is part of the catalog.
    assert "3 versions, all match" in run("catalog", "verify")[1]
    assert run("promote", "debian-13@1.0.2", "--key", "new")[0] == 0
    # What the old key signs from now on is believed by nobody who trusts the new one only.
    assert run("promote", "debian-13@1.0.0", "--key", "key")[0] == 0
    assert "head.dsse.json: not signed by this key" in run("catalog", "verify")[2]


def test_a_catalog_that_was_replaced_on_purpose(root: Path, run: Run, tmp_path: Path, signer: Signer) -> None:
    run("catalog", "trust", "key.pub")
    shutil.rmtree(root)
    code, _, err = run("catalog", "list")
    assert code == 7 and "its signed head head.dsse.json is missing" in err
    catalogs.put(Catalog("catalog"), tmp_path / "again", 0, signer)
    code, _, err = run("catalog", "list")
    assert code == 7 and "is another catalog" in err and "catalog trust --reset" in err
    assert run("catalog", "trust", "key.pub")[0] == 7
    assert run("catalog", "trust", "key.pub", "--reset")[0] == 0
    assert run("catalog", "list")[0] == 0
