"""The wheel contains its data files: installed elsewhere, it renders the same bytes as the checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from notebake import paths, process

CHECKOUT = Path(__file__).parents[2]


def test_the_wheel_works_from_any_folder(tmp_path: Path) -> None:
    if paths.data_folder("images").parent != CHECKOUT:
        pytest.fail("these tests run from a checkout")
    process.run(["uv", "build", "--wheel", "--quiet", "--out-dir", tmp_path / "dist", CHECKOUT], timeout=300)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    # The package comes from the wheel, its dependencies from this environment.
    install: list[str | Path] = ["uv", "pip", "install", "--quiet", "--no-deps"]
    process.run([*install, "--target", tmp_path / "site", wheel], timeout=300)
    (tmp_path / "empty").mkdir()
    program = "import sys; sys.path.insert(0, sys.argv.pop(1)); from notebake.cli.main import main; main()"

    def notebake(path: Path, *words: str) -> bytes:
        argv = ["python", "-c", program, path, *words]
        return process.run(argv, timeout=120, cwd=tmp_path / "empty").stdout

    notebake(tmp_path / "site", "init", "--no-password")
    for path, output in ((tmp_path / "site", "wheel"), (CHECKOUT / "builder", "checkout")):
        notebake(path, "render", "opensuse-leap-16.0", "-o", output)
    files = sorted(
        path.relative_to(tmp_path / "empty/wheel") for path in (tmp_path / "empty/wheel").rglob("*")
    )
    assert Path("packer/linux.pkr.hcl") in files
    for file in files:
        if (tmp_path / "empty/wheel" / file).is_file():
            one, two = ((tmp_path / "empty" / side / file).read_bytes() for side in ("wheel", "checkout"))
            assert one == two, file
