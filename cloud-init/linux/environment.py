"""The virtual environment below /opt/notebake. Every package must match its hash in the lock."""

import base64
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

import fonts
from machine import run, write
from paths import CA_BUNDLE, GUEST, HOME


def download(url):
    """Open `url`. SystemExit with the URL and the proxy if that fails."""
    context = ssl.create_default_context(cafile=str(CA_BUNDLE) if CA_BUNDLE.exists() else None)
    try:
        return urllib.request.urlopen(url, timeout=60, context=context)
    except OSError as error:
        proxy = urllib.request.getproxies().get(url.split(":")[0])
        raise SystemExit(f"{url}: {error}" + f", through the proxy {proxy}" * bool(proxy)) from None


def fetch_uv(config):
    """Download the pinned uv from the index of the packages, check its SHA-256, return its path."""
    pin = config["uv"]
    uv = HOME / f"uv-{pin['sha256'][:12]}"
    if uv.exists():
        return uv
    wheelhouse = os.environ.get("NOTEBAKE_WHEELHOUSE")
    if wheelhouse:
        url = f"{wheelhouse}/{pin['file']}"
    else:
        index = f"{config['index'].rstrip('/')}/uv/"
        with download(index) as page:
            links = re.findall(r'href="([^"]+)"', page.read().decode())
            wheels = [link for link in map(html.unescape, links) if f"/{pin['file']}" in f"/{link}"]
            if not wheels:
                raise SystemExit(f"{index}: {pin['file']} not found")
            url = urllib.parse.urljoin(page.url, wheels[0])
    wheel = HOME / "uv.whl"
    digest = hashlib.sha256()
    with download(url) as source, open(wheel, "wb") as file:
        while block := source.read(1 << 20):
            digest.update(block)
            file.write(block)
    if digest.hexdigest() != pin["sha256"]:
        raise SystemExit(f"{url}: SHA-256 is {digest.hexdigest()}, expected {pin['sha256']}")
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/scripts/uv"))
        write(uv, archive.read(name), 0o755)
    wheel.unlink()
    return uv


def expand(lock):
    """Put the hashes into the lock: user-data carries them apart, because they are shorter so."""
    packed = lock.with_name("hashes")
    if packed.exists():
        data = base64.b64decode(packed.read_bytes())
        # Without what a power loss left of an earlier call.
        pins = [line.split()[0] for line in lock.read_text().splitlines()]
        lines = [f"{pin} --hash=sha256:{data[at * 32 :][:32].hex()}\n" for at, pin in enumerate(pins)]
        write(lock, "".join(lines))
        packed.unlink()


def environment(config, bake):
    """Make the virtual environment in a folder named by the lock's digest, and link it as `env`."""
    lock = GUEST / "requirements.txt"
    expand(lock)
    env = HOME / f"env-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    if not (env / "complete").exists():
        uv = fetch_uv(config)
        cache = HOME / "cache"
        for leftover in (env, cache):
            shutil.rmtree(leftover, ignore_errors=True)
        # The cache is on the file system of the environment, so that files are linked, not copied.
        # /tmp may be in memory. Few workers: a first boot must fit into 1 GiB.
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
        venv = ["venv", "--quiet", "--no-project", "--python", config["interpreter"], str(env)]
        run(str(uv), *venv, **settings)
        install = ["pip", "install", "--quiet", "--python", str(env / "bin/python"), "-r", str(lock)]
        install += ["--require-hashes", "--no-deps", "--only-binary", ":all:"]
        if wheelhouse:
            install += ["--no-index", "--find-links", wheelhouse]
        else:
            install += ["--default-index", config["index"]]
        if bake:
            install.append("--compile-bytecode")
        run(str(uv), *install, **settings)
        shutil.rmtree(cache, ignore_errors=True)
        uv.unlink()
        os.sync()
        write(env / "complete", "")
    link = HOME / "env.new"
    link.unlink(missing_ok=True)
    link.symlink_to(env.name)
    link.replace(HOME / "env")


def remove_unused():
    """Remove the environments that `env` does not link to."""
    current = (HOME / "env").resolve()
    for path in HOME.glob("env-*"):
        if path != current:
            shutil.rmtree(path)


def font_list(config):
    """Make matplotlib's list of fonts now, so that the first plot does not wait for it."""
    account = pwd.getpwnam(config["user"])
    fonts.FOLDER.mkdir(exist_ok=True)
    fonts.forget(Path(account.pw_dir))
    for path in (fonts.FOLDER, *fonts.FOLDER.iterdir()):
        os.chown(path, account.pw_uid, account.pw_gid)
    made = any(fonts.FOLDER.glob("fontlist*"))
    if not made and any((HOME / "env").glob("lib/python*/site-packages/matplotlib")):
        ids = [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
        program = [str(HOME / "env/bin/python"), "-c", "import matplotlib.font_manager"]
        run("setpriv", *ids, *program, MPLCONFIGDIR=str(fonts.FOLDER))


def warm(config):
    """Make what an image has from its bake, and a first boot does not wait for: font cache and bytecode."""
    font_list(config)
    # No check: it exits with 1 if a package has a file that is not for this Python version.
    argv = [str(HOME / "env/bin/python"), "-m", "compileall", "-q", str(HOME / "env/lib")]
    subprocess.run(argv, check=False, stdin=subprocess.DEVNULL)
    os.sync()
    write(HOME / "env/warm", "")
