"""Fetch the provisioning files, check their SHA-256, and start set-up. Run as root by notebake-fetch.service,
at each boot and again after a failure. include.json has the URL, the archive's SHA-256, the files' digest and
the proxy variables.
"""

import hashlib
import http.client
import io
import json
import os
import shutil
import subprocess
import tarfile
import urllib.error
import urllib.request
from pathlib import Path

GUEST = Path("/opt/notebake/guest")
SECONDS = 60


def say(text):
    """Print `text` to the journal and to the machine's console."""
    print(f"notebake: {text}", flush=True)
    try:
        with open("/dev/console", "w") as console:
            console.write(f"notebake: {text}\n")
    except OSError:
        pass


def fetch(url, sha256):
    """Return the bytes at `url`. SystemExit if they cannot be had or are others."""
    shown = url.partition("?")[0]  # the query may have a key
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:
            data = answer.read()
    except (OSError, ValueError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        raise SystemExit(f"{shown}: {error}") from None
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise SystemExit(f"{shown}: SHA-256 is {found}, expected {sha256}")
    return data


def unpack(data, guest):
    """Write the archive's files to the folder `guest`, wholly or not at all."""
    new = guest.with_name("guest.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        tar.extractall(new, filter="data")
    os.sync()
    shutil.rmtree(guest, ignore_errors=True)
    new.replace(guest)


def main():
    os.umask(0o022)
    config = json.loads(GUEST.with_name("include.json").read_text())
    os.environ.update(config["proxy"])
    digest = GUEST / "digest"
    if not digest.exists() or digest.read_text().strip() != config["digest"]:
        try:
            data = fetch(config["url"], config["sha256"])
        except SystemExit as error:
            say(f"setup failed at include: {error}")
            raise
        unpack(data, GUEST)
    shutil.copy(GUEST / "units/notebake-setup.service", "/etc/systemd/system/")
    for argv in (
        ["systemctl", "daemon-reload"],
        ["systemctl", "enable", "--quiet", "notebake-setup.service"],
        ["systemctl", "start", "--no-block", "notebake-setup.service"],
    ):
        subprocess.run(argv, check=True)


if __name__ == "__main__":
    main()
