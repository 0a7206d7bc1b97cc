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
from paths import GUEST

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


def put(config, files):
    """Put everything into the folder of the notebooks. Called as the user."""
    account = pwd.getpwnam(config["user"])
    notebooks = Path(account.pw_dir, config["folder"])
    for name, data in files.items():
        if not (notebooks / name).exists():
            write(notebooks / name, data)
    for item in config["preload"]["fetched"]:
        target, work = notebooks / item["folder"], notebooks / ".preload"
        if not target.exists():
            fetch(item, work).replace(target)
            shutil.rmtree(work, ignore_errors=True)


def step(config):
    """Put everything there as the user, who may have put links into its home."""
    source, encoded = GUEST / "notebooks", config["preload"]["encoded"]
    files = {}
    for path in sorted(source.rglob("*")):
        if path.is_file():
            name, data = path.relative_to(source).as_posix(), path.read_bytes()
            files[name] = base64.b64decode(data) if name in encoded else data
    as_user(config["user"], lambda: put(config, files))
