"""Restore the lock from package names, versions and one digest over all wheels.

112 SHA-256 digests would take a third of EC2's user-data. So user-data carries names.txt and the SHA-256
over the sorted digests of all wheels. This program downloads the wheels without running them. Only if
the digest matches does it write requirements.txt, with one hash per line, which pip then requires.
"""

import hashlib
import json
import re
import shutil
import subprocess
import sys

from paths import GUEST, HOME

LOCK = GUEST / "requirements.txt"
NAMES = GUEST / "names.txt"
FOLDER = HOME / "wheels"


def of_all(digests):
    """Return the SHA-256 (hex) over the digests of all wheels (hex), in any order."""
    return hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()


def requirement(wheel, digest):
    """Return the lock's line for the wheel with this file name; the package name is normalized (PEP 503)."""
    name, version = wheel.split("-")[:2]
    return f"{re.sub('[-_.]+', '-', name).lower()}=={version} --hash=sha256:{digest}\n"


def fetch(index):
    """Download every wheel of names.txt to FOLDER. CalledProcessError if one cannot be downloaded."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    options = ["--quiet", "--disable-pip-version-check", "--no-cache-dir", "--retries", "10"]
    options += ["--no-deps", "--only-binary", ":all:", "--index-url", index, "-d", str(FOLDER)]
    argv = [sys.executable, "-m", "pip", "download", *options, "-r", str(NAMES)]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)


def main():
    config = json.loads((GUEST / "config.json").read_text("utf-8"))
    fetch(config["index"])
    paths = sorted(FOLDER.glob("*.whl"))
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    if of_all(digests.values()) != config["wheels_sha256"]:
        shutil.rmtree(FOLDER)
        sys.exit("the wheels do not match the lock (SHA-256 mismatch)")
    new = LOCK.with_suffix(".new")
    new.write_text("".join(requirement(wheel, digest) for wheel, digest in digests.items()))
    new.replace(LOCK)


if __name__ == "__main__":
    main()
