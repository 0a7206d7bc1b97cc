"""Values are printed unchanged: rich must not read emoji codes or markup, nor break lines in a file."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from tests.conftest import Run

from notebake import paths, terminal
from notebake.address import Address
from notebake.machines import machine
from notebake.progress import Steps
from notebake.ssh import Ssh

FINGERPRINT = "7D:CD:C3:AB:E1:" + ":".join(["AB", "CD", "VS", "OK", "ID", "UP"] * 4)
VALUES = (FINGERPRINT, ":smile: :warning:", "[red]image[/red]", "[/]", "[link=https://x.example]y", "a\\[b]")
_STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture(params=["file", "terminal"])
def screen(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Print to a file, or to a wide terminal with colours."""
    monkeypatch.setenv("COLUMNS", "80" if request.param == "file" else "400")
    if request.param == "terminal":
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm-256color")
    return str(request.param)


def read(text: str) -> str:
    """Return `text` without styles and cursor movements."""
    return _STYLE.sub("", text)


@pytest.mark.parametrize("value", VALUES)
def test_steps_and_notes_print_values_unchanged(
    screen: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = Steps()
    with steps.step(f"step {value} end"):
        steps.note(f"note {value} end")
    printed = read(capsys.readouterr().err)
    assert f"note {value} end" in printed
    # On a terminal the spinner shows the title too.
    assert set(re.findall(r"step .*? end", printed)) == {f"step {value} end"}


@pytest.mark.parametrize("value", VALUES)
def test_tables_print_values_unchanged(screen: str, value: str, run: Run) -> None:
    folder = machine.folder("nb-1")
    address = Address(host=value, port=443)
    machine.save(
        machine.Machine(
            name="nb-1", platform="qemu", target="debian-13", source=value, sha256=None,
            process=None, address=address, notebook_port=9999, canary=address,
            canary_inside=8765, fingerprint=None, created="2026-11-25T03:00:00+00:00",
            console=folder / "console.log",
            ssh=Ssh(host="x", port=22, user="u", key=folder / "k", known_hosts=folder / "h"),
        )
    )  # fmt: skip
    code, out, _ = run("ps")
    assert code == 0
    assert f" {value.rsplit('/', 1)[-1]} " in read(out)
    assert f" https://{address.authority}/ " in read(out)


# Clear the screen, set the window's title, carriage return, 8-bit CSI, DEL.
CONTROLS = "\x1b[2J\x1b]0;owned\x07\r\x9b2J\x7f"


def test_control_characters_do_not_reach_the_screen(screen: str, capsys: pytest.CaptureFixture[str]) -> None:
    steps = Steps()
    with steps.step(f"step {CONTROLS} end"):
        steps.note(f"note {CONTROLS} end")
    rows = terminal.table(f"head {CONTROLS}", title=f"title {CONTROLS}")
    rows.add_row(f"cell {CONTROLS} end")
    terminal.console().print(rows)
    printed = "".join(capsys.readouterr())
    for control in ("\x1b[2J", "\x1b]", "\x07", "\x9b", "\x7f"):
        assert control not in printed
    for word in ("step", "note", "head", "title", "cell"):
        assert re.search(rf"{word} .*\[2J.*\]0;owned", printed)
    assert not _STYLE.sub("", printed).replace("\r", "").count("\x1b")


def test_only_the_terminal_module_makes_consoles_and_tables() -> None:
    """notebake.terminal turns markup and emoji codes off."""
    root = Path(paths.__file__).parent
    makers = set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom | ast.Import):
                assert "rich.markup" not in ast.unparse(node), path
            elif isinstance(node, ast.Call):
                called = ast.unparse(node.func).rsplit(".", 1)[-1]
                assert called not in ("from_markup", "rprint"), path
                if called in ("Console", "Table"):
                    makers.add(path.relative_to(root).as_posix())
    assert makers == {"terminal.py"}
