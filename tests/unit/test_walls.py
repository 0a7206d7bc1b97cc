"""Which package may import which: the data travels one way, and a later stage never reaches back."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "builder/notebake"

# Importing package or module -> what it may not import; a name stands for itself and all below it.
WALLS = {
    "plan": ("provision", "render", "bases", "bake", "machines", "launch", "probe", "record", "catalog"),
    "provision": ("render", "bases", "bake", "machines", "launch", "probe", "record", "catalog", "process"),
    "render": ("bases", "bake", "machines", "launch", "probe", "record", "catalog", "process"),
    "machines": ("plan", "provision", "render", "bake", "bases", "launch", "probe", "record", "catalog"),
    "probe": ("machines", "launch", "provision", "render", "bake", "bases", "catalog"),
    "record": ("bake", "bases", "machines", "launch", "probe", "catalog", "provision", "render", "process"),
    "catalog": ("bake", "bases", "machines", "launch", "provision", "render"),
    "export": ("bake", "bases", "machines", "launch", "probe", "provision", "render", "catalog"),
}
# Module -> the packages or modules that it alone may import through its package's wall.
DOORS = {
    "probe.launched": ("machines",),  # a launched machine as the probe's subject
    "record.git": ("process",),
}
# Ground modules know no stage.
GROUND = ("errors", "files", "paths", "process", "progress", "seed", "ssh", "templates", "terminal",
          "validation", "address", "webpage", "documents", "screen", "urls", "owner", "scratch",
          "incus_metadata")  # fmt: skip
STAGES = (*WALLS, "bases", "bake", "launch", "ci", "cli", "doctor")


def imports(source: str, module: str = "") -> set[str]:
    """Return the modules of the package that `source` imports, below `notebake.`, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative imports hide where a name comes from"
            names = [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        found |= {name.removeprefix("notebake.") for name in names if name.startswith("notebake.")}
    return found


def modules() -> dict[str, set[str]]:
    """Return what each module of the package imports, both named below `notebake.`."""
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): imports(path.read_text("utf-8"), str(path))
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.name != "__init__.py"
    }


def below(name: str, roots: tuple[str, ...]) -> bool:
    return any(name == root or name.startswith(f"{root}.") for root in roots)


def broken(module: str, imported: set[str]) -> list[str]:
    """Return the imports of `module` that a wall forbids."""
    forbidden = STAGES if module in GROUND else WALLS.get(module.split(".")[0], ())
    allowed = DOORS.get(module, ())
    return sorted(name for name in imported if below(name, forbidden) and not below(name, allowed))


def test_no_import_goes_through_a_wall() -> None:
    assert {module: wrong for module, found in modules().items() if (wrong := broken(module, found))} == {}


@pytest.mark.parametrize(
    ("module", "statement"),
    [
        ("machines.qemu", "from notebake.plan import spec"),
        ("probe.checks.tls", "from notebake.machines.machine import Machine"),
        ("plan.lock", "import notebake.render.output"),
        ("render.linux", "from notebake import process"),
        ("provision.files", "def later():\n    from notebake.bases import base"),
        ("catalog.add", "from notebake.bake import bake"),
        ("files", "from notebake.plan.plan import Plan"),
    ],
)
def test_a_wrong_import_is_found(module: str, statement: str) -> None:
    assert broken(module, imports(statement))


def test_a_door_is_for_its_module_alone() -> None:
    statement = "from notebake.machines import lifecycle"
    assert broken("probe.launched", imports(statement)) == []
    assert broken("probe.run", imports(statement)) == ["machines", "machines.lifecycle"]


def test_a_package_is_imported_without_its_modules() -> None:
    """Completion needs the targets only: a package's __init__ holds one docstring and imports nothing."""
    for path in PACKAGE.rglob("__init__.py"):
        (statement,) = ast.parse(path.read_text("utf-8")).body
        assert isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant), path
