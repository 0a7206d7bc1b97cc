"""The lock: only versions with hashes are accepted, and a lock for other packages is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomlkit

from notebake import process
from notebake.errors import SpecError
from notebake.plan import lock, spec, targets

UV = "# uv: uv-0.1-py3-none-any.whl sha256:" + "0" * 64
GOOD = "six==1.17.0 --hash=sha256:" + "a" * 64


def test_every_shipped_lock_is_for_the_default_packages_with_one_line_per_package(tmp_path: Path) -> None:
    for target in targets.all_targets():
        shipped = lock.load(spec.Spec(), target, tmp_path)
        names = [line.split("==")[0] for line in shipped.lines]
        assert {"notebook", "ipykernel", "cryptography", "numpy"} <= set(names)
        assert len(names) == len(set(names))
        assert lock.parse(shipped.text(), "x") == shipped


@pytest.mark.parametrize(
    "line",
    ["six==1.17.0", "six>=1 --hash=sha256:" + "a" * 64, "six==1.17.0 --hash=sha256:abc", "-r other.txt",
     "six==1.17.0 --hash=md5:" + "a" * 32, "https://example.com/six.whl --hash=sha256:" + "a" * 64],
)  # fmt: skip
def test_a_line_without_version_or_hash_is_refused_with_its_number(line: str) -> None:
    with pytest.raises(SpecError, match=r"^my\.txt:4: "):
        lock.parse(f"# for: x\n{UV}\n{GOOD}\n{line}\n", "my.txt")


def test_a_lock_for_other_packages_is_refused_with_a_hint(tmp_path: Path) -> None:
    target = targets.get("debian-13")
    wanted = spec.parse('packages = ["notebook", "polars"]', source="x")
    with pytest.raises(SpecError, match="not locked yet") as caught:
        lock.load(wanted, target, tmp_path)
    assert caught.value.hint == "run `notebake lock debian-13`"
    new = lock.Lock(
        made_for=lock.purpose(wanted, target),
        uv_file="uv-0.1-py3-none-any.whl",
        uv_sha256="0" * 64,
        lines=(GOOD,),
    )
    lock.write(new, lock.path_for(target, tmp_path))
    assert lock.load(wanted, target, tmp_path) == new
    with pytest.raises(SpecError, match="older than the spec"):
        lock.load(spec.Spec(), target, tmp_path)


def test_the_order_of_packages_does_not_matter() -> None:
    target = targets.get("debian-13")
    one = spec.parse('packages = ["numpy", "pandas"]', source="x")
    two = spec.parse('packages = ["pandas", "numpy"]', source="x")
    assert lock.purpose(one, target) == lock.purpose(two, target)


WINDOWS_TAGS = ("cp313-cp313-win_amd64", "cp311-abi3-win_amd64", "cp39-abi3-win_amd64", "py3-none-win_amd64")
LINUX_TAGS = (
    "cp313-cp313-manylinux_2_27_x86_64.manylinux_2_28_x86_64",
    "cp313-cp313-manylinux2014_x86_64.manylinux_2_17_x86_64",
    "cp313-cp313-manylinux1_x86_64",
    "cp311-abi3-manylinux_2_28_x86_64",
    "py3-none-manylinux_2_28_x86_64",
)
NONE_FIT = {
    "windows-2025": "cp313-cp313-manylinux_2_28_x86_64",
    "debian-13": "cp313-cp313-manylinux_2_34_x86_64",
}


@pytest.mark.parametrize(("target", "tags"), [("windows-2025", WINDOWS_TAGS), ("debian-13", LINUX_TAGS)])
def test_a_lock_has_the_one_wheel_that_the_target_prefers(
    monkeypatch: pytest.MonkeyPatch, target: str, tags: tuple[str, ...]
) -> None:
    order = [*tags, "py3-none-any", NONE_FIT[target]]
    digests = {f"x-1-{tags}.whl": str(number) * 64 for number, tags in enumerate(order)}

    def locked(*names: str) -> list[str]:
        """Return the digests in the lock of a package with these wheels."""
        wheels = [{"name": name, "hashes": {"sha256": digests[name]}} for name in names]
        package = {"name": "x", "version": "1", "wheels": wheels}

        def uv(argv: list[str | Path], timeout: float) -> None:
            Path(argv[argv.index("-o") + 1]).write_text(tomlkit.dumps({"packages": [package]}))

        monkeypatch.setattr(process, "run", uv)
        (line,) = lock.make(spec.Spec(), targets.get(target), "https://index.example/simple").lines
        return line.split(" --hash=sha256:")[1:]

    for start, best in enumerate([*digests][:-1]):
        assert locked(*reversed([*digests][start:])) == [digests[best]]
