"""matplotlib's list of fonts, which it makes once and never looks at again."""

import os

from paths import HOME

FOLDER = HOME / "matplotlib"  # MPLCONFIGDIR
SYSTEM = ("/usr/share/fonts", "/usr/local/share/fonts")


def forget(home, folder=FOLDER):
    """Remove the list when fonts were added or removed since the last call, so that it is made again."""
    places = [*SYSTEM, home / ".local/share/fonts", home / ".fonts"]
    names = "\n".join(sorted(name for place in places for _, _, names in os.walk(place) for name in names))
    known = folder / "fonts"
    if folder.exists() and not (known.exists() and known.read_text() == names):
        for made in folder.glob("fontlist*"):
            made.unlink()
        known.write_text(names)
