"""What the spec preloads: files, and folders from git or a tar. Nothing is written over.

Only on machines whose spec has some.
"""

import base64
import hashlib
import pwd
import shutil
import tarfile
import time
from pathlib import Path

from environment import download
from machine import as_user, run, write
from paths import GUEST, HOME

TRIES = 3


def git(item, folder):
    """Check the commit out."""
    run("git", "init", "--quiet", str(folder))
    run("git", "-C", str(folder), "fetch", "--quiet", "--depth", "1", item["url"], item["pin"])
    run("git", "-C", str(folder), "checkout", "--quiet", item["pin"])


def tar(item, folder):
    """Unpack the archive; its one folder stands for it."""
    archive = folder / "archive"
    with download(item["url"]) as source, open(archive, "wb") as file:
        shutil.copyfileobj(source, file)
    with open(archive, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != item["pin"]:
        raise SystemExit(f"{item['url']}: SHA-256 is {digest}, expected {item['pin']}")
    with tarfile.open(archive) as opened:
        opened.extractall(folder / "files", filter="data")


def fetch(item, folder):
    """Fetch the item, and return its folder. Try again when that fails: networks do at a first boot."""
    for left in reversed(range(TRIES)):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            (git if item["git"] else tar)(item, folder)
            break
        except (OSError, SystemExit):
            if not left:
                raise
            time.sleep(5)
    if item["git"]:
        return folder
    inner = list((folder / "files").iterdir())
    return inner[0] if len(inner) == 1 and inner[0].is_dir() else folder / "files"


def step(config):
    """Put everything into the folder of the notebooks, as its user."""
    notebooks = Path(pwd.getpwnam(config["user"]).pw_dir, config["folder"])
    source, staged = GUEST / "notebooks", HOME / "preload"
    files, folders = {}, {}
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source)
        data = None if path.is_dir() else path.read_bytes()
        encoded = name.as_posix() in config["preload"]["encoded"]
        files[notebooks / name] = base64.b64decode(data) if encoded else data
    for number, item in enumerate(config["preload"]["fetched"]):
        target = notebooks / item["folder"]
        if not target.exists():
            folders[target] = fetch(item, staged / str(number))

    def put():
        for target, data in files.items():
            if data is None:
                target.mkdir(exist_ok=True)
            elif not target.exists():
                write(target, data)
        for target, folder in folders.items():
            new = target.with_name(f".{target.name}.new")
            shutil.rmtree(new, ignore_errors=True)
            shutil.copytree(folder, new, symlinks=True)
            new.rename(target)

    as_user(config["user"], put)
    shutil.rmtree(staged, ignore_errors=True)
