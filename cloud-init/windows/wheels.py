"""The lock, made again from what it pins: names with versions, and one digest over all wheels.

112 SHA-256 digests are a third of what EC2 takes as user-data. User-data therefore carries names.txt and
the SHA-256 over the sorted digests of all wheels. The wheels are fetched, nothing of them runs, and
only if the digest is right is requirements.txt written, with a hash a line, for pip to require.
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
    """SHA-256 (hex) over the digests of all wheels (hex), whatever their order."""
    return hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()


def requirement(wheel, digest):
    """The line of a lock for a wheel of this file name: its name as PEP 503 writes it, its version."""
    name, version = wheel.split("-")[:2]
    return f"{re.sub('[-_.]+', '-', name).lower()}=={version} --hash=sha256:{digest}\n"


def fetch(index):
    """Download every wheel of names.txt to FOLDER; CalledProcessError when one cannot be had."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    options = ["--quiet", "--disable-pip-version-check", "--no-cache-dir", "--retries", "10"]
    options += ["--no-deps", "--only-binary", ":all:", "--index-url", index, "-d", str(FOLDER)]
    argv = [sys.executable, "-m", "pip", "download", *options, "-r", str(NAMES)]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)


def main():
    config = json.loads((GUEST / "config.json").read_text("utf-8"))
    fetch(config["index"])
    digests = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(FOLDER.glob("*.whl"))
    }
    if of_all(digests.values()) != config["wheels_sha256"]:
        shutil.rmtree(FOLDER)
        sys.exit("the wheels are not those of the lock: their SHA-256 differs")
    beside = LOCK.with_suffix(".new")
    beside.write_text("".join(requirement(*item) for item in digests.items()))
    beside.replace(LOCK)


if __name__ == "__main__":
    main()
