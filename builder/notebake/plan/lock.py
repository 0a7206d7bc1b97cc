"""The lock file: every Python package of a target, one per line, with the SHA-256 of its wheel.

`uv pip compile` resolves for the target's Python and platform. Only the wheel that uv would install there
is kept for each package, so that a lock of a hundred packages fits into user-data. The file is a
requirements file for pip and uv; its first lines are comments that say what it was made for.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.requirements import Requirement
from packaging.tags import compatible_tags, cpython_tags
from packaging.utils import canonicalize_name, parse_wheel_filename

from notebake import documents, files, process
from notebake.errors import CommandFailed, SpecError
from notebake.files import write_whole
from notebake.plan.spec import Spec
from notebake.plan.targets import Target

FOLDER = "locks"
SHIPPED = "requirements.txt"
# Packages that the machine needs, whether or not the spec lists them.
REQUIRED = ("cryptography", "ipykernel", "notebook")

_LINE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.!+_-]+ --hash=sha256:[0-9a-f]{64}")
_FOR = re.compile(r"# for: (.*)")
_UV = re.compile(r"# uv: (?P<file>uv-[A-Za-z0-9._-]+\.whl) sha256:(?P<sha256>[0-9a-f]{64})")


@dataclass(frozen=True, kw_only=True)
class Lock:
    """A lock. `lines`: requirements with hashes. `uv_file`, `uv_sha256`: the wheel of uv, the installer."""

    made_for: str
    uv_file: str
    uv_sha256: str
    lines: tuple[str, ...]

    def requirements(self) -> str:
        """Return the text for `uv pip install --require-hashes -r`."""
        return "\n".join(self.lines) + "\n"

    def text(self) -> str:
        """Return the text of the lock file."""
        return f"# for: {self.made_for}\n# uv: {self.uv_file} sha256:{self.uv_sha256}\n" + self.requirements()


def _required(target: Target) -> tuple[str, ...]:
    # pip, for the user's own packages: Windows has no layer for them.
    return (*REQUIRED, *(() if target.is_windows else ("pip",)), *target.python.packages)


def purpose(spec: Spec, target: Target) -> str:
    """Return the `made_for` of a lock for `spec` on `target`: its packages, Python version and platform."""
    listed = {
        str(canonicalize_name(Requirement(package).name)): str(Requirement(package))
        for package in spec.python_packages
    }
    required = dict.fromkeys(_required(target), "")
    requirements = sorted((listed.get(name) or name for name in required | listed), key=str.lower)
    return f"{' '.join(requirements)} | python {target.python.version} | {target.python.platform}"


def parse(text: str, source: str) -> Lock:
    """Parse the text of a lock file. Raises SpecError for a line that is not pinned with a hash."""
    made_for = uv = None
    lines = []
    for number, line in enumerate(text.splitlines(), 1):
        if match := _FOR.fullmatch(line):
            made_for = match[1]
        elif match := _UV.fullmatch(line):
            uv = match
        elif _LINE.fullmatch(line):
            lines.append(line)
        elif line.strip() and not line.startswith("#"):
            raise SpecError(
                f"{source}:{number}: not a pinned package with a SHA-256", "run `notebake lock` to replace it"
            )
    if made_for is None or uv is None or not lines:
        raise SpecError(f"{source}: not a lock file of notebake", "run `notebake lock` to replace it")
    return Lock(made_for=made_for, uv_file=uv["file"], uv_sha256=uv["sha256"], lines=tuple(lines))


def path_for(target: Target, folder: Path) -> Path:
    """Return the path of the lock file of `target` for a spec in `folder`."""
    return folder / FOLDER / f"{target.name}.txt"


def load(spec: Spec, target: Target, folder: Path) -> Lock:
    """Return the lock beside the spec, else the one that notebake ships for the default packages.

    Raises SpecError if there is none, or if it was made for other packages or another Python.
    """
    own = path_for(target, folder)
    shipped = target.folder / SHIPPED
    path = own if own.exists() else shipped
    if not path.exists():
        raise SpecError(f"{own}: no lock for {target.name}", f"run `notebake lock {target.name}`")
    try:
        lock = parse(files.read(path, limit=documents.MAX_BYTES).decode("utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: cannot be read: {error}") from None
    if lock.made_for != purpose(spec, target):
        problem = "the lock is older than the spec" if own.exists() else "these packages are not locked yet"
        raise SpecError(f"{own}: {problem}", f"run `notebake lock {target.name}`")
    return lock


def _resolve(requirements: str, target: Target, index: str) -> list[dict[str, object]]:
    """Return the packages of the PEP 751 lock that uv resolves for `target`. Raises CommandFailed."""
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch, "requirements.in")
        source.write_text(requirements + "\n", "utf-8")
        output = Path(scratch, "pylock.toml")
        argv: list[str | Path] = [
            "uv", "pip", "compile", source,
            "--quiet",
            "--no-config",
            "--generate-hashes",
            "--format", "pylock.toml",
            "--only-binary", ":all:",
            "--default-index", index,
            "--python-version", target.python.version,
            "--python-platform", target.python.platform,
            "-o", output,
        ]  # fmt: skip
        try:
            process.run(argv, timeout=600)
        except CommandFailed as error:
            raise CommandFailed(
                f"{target.name}: the packages cannot be resolved\n{error.message}",
                "check the package names and that the Python index is reachable ([mirrors] python)",
            ) from None
        packages = documents.parse_toml(output.read_bytes(), limit=documents.MAX_BYTES)["packages"]
        assert isinstance(packages, list)
        return packages


def _wheels(package: dict[str, object]) -> list[tuple[str, str]]:
    """Return (file name, SHA-256) of each wheel of a package in a PEP 751 lock."""
    wheels = package.get("wheels")
    assert isinstance(wheels, list)
    return [
        (wheel.get("name") or unquote(Path(urlsplit(wheel["url"]).path).name), wheel["hashes"]["sha256"])
        for wheel in wheels
    ]


def _platforms(target: Target) -> list[str]:
    """Return the platform tags of the wheels that `target` takes, best first."""
    if target.is_windows:
        return ["win_amd64"]
    processor, _, glibc = target.python.platform.partition("-manylinux_2_")
    # PEP 600, and the older names of three of them.
    older = {17: "2014", 12: "2010", 5: "1"}
    return [
        tag
        for minor in range(int(glibc), 4, -1)
        for tag in (
            f"manylinux_2_{minor}_{processor}",
            *([f"manylinux{older[minor]}_{processor}"] if minor in older else []),
        )
    ] + [f"linux_{processor}"]


def _best(wheels: list[tuple[str, str]], target: Target) -> str:
    """Return the SHA-256 of the wheel that uv or pip installs on `target`."""
    version = tuple(map(int, target.python.version.split(".")))
    platforms = _platforms(target)
    order = {
        tag: rank
        for rank, tag in enumerate(
            [*cpython_tags(version, platforms=platforms), *compatible_tags(version, "cp", platforms)]
        )
    }

    def rank(wheel: tuple[str, str]) -> int:
        return min((order[tag] for tag in parse_wheel_filename(wheel[0])[3] if tag in order), default=1 << 30)

    return min(wheels, key=rank)[1]


def make(spec: Spec, target: Target, index: str) -> Lock:
    """Resolve the spec's packages for `target` from `index` (URL). Raises CommandFailed."""
    made_for = purpose(spec, target)
    requirements = "\n".join([*spec.python_packages, *_required(target)])
    lines = []
    for package in sorted(_resolve(requirements, target, index), key=lambda package: str(package["name"])):
        sha256 = _best(_wheels(package), target)
        lines.append(f"{package['name']}=={package['version']} --hash=sha256:{sha256}")
    uv_file, uv_sha256 = _wheels(_resolve("uv", target, index)[0])[0]
    return Lock(made_for=made_for, uv_file=uv_file, uv_sha256=uv_sha256, lines=tuple(lines))


def write(lock: Lock, path: Path) -> None:
    """Write the lock file atomically. Raises CommandFailed."""
    write_whole(path, lock.text().encode())
