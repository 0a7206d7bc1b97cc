"""The virtual environment under /opt/notebake, from the lock, with hashes required."""

import hashlib
import html
import os
import pwd
import re
import shutil
import ssl
import subprocess
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path

from machine import CA_BUNDLE, GUEST, HOME, run, write

SYSTEM_CA = ("/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/ca-bundle.pem")


def fetch_uv(config):
    """The pinned uv, from the same index as the packages, checked by SHA-256."""
    pin = config["uv"]
    uv = HOME / f"uv-{pin['sha256'][:12]}"
    if uv.exists():
        return uv
    context = ssl.create_default_context(cafile=str(CA_BUNDLE) if CA_BUNDLE.exists() else None)
    wheelhouse = os.environ.get("NOTEBAKE_WHEELHOUSE")
    if wheelhouse:
        url = f"{wheelhouse}/{pin['file']}"
    else:
        index = f"{config['index'].rstrip('/')}/uv/"
        with urllib.request.urlopen(index, timeout=60, context=context) as page:
            links = re.findall(r'href="([^"]+)"', page.read().decode())
            found = [link for link in map(html.unescape, links) if f"/{pin['file']}" in f"/{link}"]
            if not found:
                raise SystemExit(f"{index}: has no {pin['file']}")
            url = urllib.parse.urljoin(page.url, found[0])
    wheel = HOME / "uv.whl"
    digest = hashlib.sha256()
    with urllib.request.urlopen(url, timeout=60, context=context) as source, open(wheel, "wb") as file:
        while block := source.read(1 << 20):
            digest.update(block)
            file.write(block)
    if digest.hexdigest() != pin["sha256"]:
        raise SystemExit(f"{url}: SHA-256 is {digest.hexdigest()}, pinned is {pin['sha256']}")
    with zipfile.ZipFile(wheel) as archive:
        name = next(item for item in archive.namelist() if item.endswith("/scripts/uv"))
        write(uv, archive.read(name), 0o755)
    wheel.unlink()
    return uv


def environment(config, bake):
    """The virtual environment, made beside under a name of its content, then linked as `env`."""
    lock = GUEST / "requirements.txt"
    env = HOME / f"env-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    if not (env / "complete").exists():
        extra = GUEST / "ca.pem"
        if extra.exists():
            system = next((Path(path).read_bytes() for path in SYSTEM_CA if Path(path).exists()), b"")
            write(CA_BUNDLE, system + extra.read_bytes())
        uv = fetch_uv(config)
        cache = HOME / "cache"
        for leftover in (env, cache):
            shutil.rmtree(leftover, ignore_errors=True)
        # The cache is on the environment's own file system so that files are linked, not copied,
        # and not in a /tmp that is memory. Few workers: a first boot must fit into 1 GiB.
        settings = {
            "UV_CACHE_DIR": str(cache),
            "UV_LINK_MODE": "hardlink",
            "UV_NO_CONFIG": "1",
            "UV_CONCURRENT_DOWNLOADS": "8",
            "UV_CONCURRENT_INSTALLS": "2",
            "UV_HTTP_TIMEOUT": "120",
        }
        if CA_BUNDLE.exists():
            settings["SSL_CERT_FILE"] = str(CA_BUNDLE)
        wheelhouse = os.environ.get("NOTEBAKE_WHEELHOUSE")
        source = (
            ["--no-index", "--find-links", wheelhouse] if wheelhouse else ["--default-index", config["index"]]
        )
        run(
            str(uv),
            "venv",
            "--quiet",
            "--no-project",
            "--python",
            config["interpreter"],
            str(env),
            **settings,
        )
        run(
            str(uv),
            "pip",
            "install",
            "--quiet",
            "--python",
            str(env / "bin/python"),
            "--require-hashes",
            "--no-deps",
            "--only-binary",
            ":all:",
            *(["--compile-bytecode"] if bake else []),
            *source,
            "-r",
            str(lock),
            **settings,
        )
        shutil.rmtree(cache, ignore_errors=True)
        uv.unlink()
        os.sync()
        write(env / "complete", "")
    link = HOME / "env.new"
    link.unlink(missing_ok=True)
    link.symlink_to(env.name)
    link.replace(HOME / "env")


def remove_unused():
    """Remove the environments that `env` does not lead to."""
    current = (HOME / "env").resolve()
    for path in HOME.glob("env-*"):
        if path != current:
            shutil.rmtree(path)


def fonts(config):
    """matplotlib's list of fonts, made once here and not in the first plot of each user."""
    account = pwd.getpwnam(config["user"])
    folder = HOME / "matplotlib"
    folder.mkdir(exist_ok=True)
    os.chown(folder, account.pw_uid, account.pw_gid)
    if any((HOME / "env").glob("lib/python*/site-packages/matplotlib")):
        ids = [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
        program = [str(HOME / "env/bin/python"), "-c", "import matplotlib.font_manager"]
        run("setpriv", *ids, *program, MPLCONFIGDIR=str(folder))


def warm(config):
    """What a baked machine has and a first boot does not wait for: fonts and bytecode."""
    fonts(config)
    # 1: some package carries a file that is not for this Python.
    python = str(HOME / "env/bin/python")
    subprocess.run(
        [python, "-m", "compileall", "-q", str(HOME / "env/lib")], check=False, stdin=subprocess.DEVNULL
    )
    os.sync()
    write(HOME / "env/warm", "")
