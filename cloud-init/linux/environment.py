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

from machine import run, write
from paths import CA_BUNDLE, GUEST, HOME

START = 4  # bytes of a hash that user-data has


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


def expand(lock, uv, options, settings):
    """Put the hashes into the lock. SystemExit if it is not the lock then that user-data was made from.

    User-data has room for the SHA-256 of the lock and the first bytes of each hash in it: they choose from
    those of the index.
    """
    packed = lock.with_name("hashes")
    if not packed.exists():
        return
    digest, starts = packed.read_text().split()
    listed = lock.with_name("listed.txt")
    find = ["pip", "compile", "--quiet", "--no-deps", "--generate-hashes", "-o", str(listed), str(lock)]
    run(str(uv), *find, *options, **settings)
    known = {text[: START * 2]: text for text in re.findall("sha256:([0-9a-f]{64})", listed.read_text())}
    starts = base64.b64decode(starts)
    # Without what a power loss left of an earlier call.
    pins = [line.split()[0] for line in lock.read_text().splitlines()]
    hashes = [known.get(starts[at * START :][:START].hex()) for at in range(len(pins))]
    text = "".join(f"{pin} --hash=sha256:{found}\n" for pin, found in zip(pins, hashes, strict=True))
    if hashlib.sha256(text.encode()).hexdigest() != digest:
        missing = ", ".join(pin for pin, found in zip(pins, hashes, strict=True) if not found)
        if not known:
            raise SystemExit("the index lists no SHA-256 of its files, which user-data needs")
        raise SystemExit(f"the index has other files than the lock: {missing or 'SHA-256 mismatch'}")
    write(lock, text)
    listed.unlink()
    packed.unlink()


def environment(config, bake):
    """Make the virtual environment in a folder named by the lock's digest, and link it as `env`."""
    lock, packed = GUEST / "requirements.txt", GUEST / "hashes"
    digest = packed.read_text() if packed.exists() else hashlib.sha256(lock.read_bytes()).hexdigest()
    env = HOME / f"env-{digest[:12]}"
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
        options = ["--python", str(env / "bin/python"), "--only-binary", ":all:"]
        if wheelhouse:
            options += ["--no-index", "--find-links", wheelhouse]
        else:
            options += ["--default-index", config["index"]]
        expand(lock, uv, options, settings)
        install = ["pip", "install", "--quiet", "-r", str(lock), "--require-hashes", "--no-deps", *options]
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


def fonts(config):
    """Make matplotlib's list of fonts now, so that the first plot does not wait for it."""
    account = pwd.getpwnam(config["user"])
    folder = HOME / "matplotlib"
    made = any(folder.glob("fontlist*"))
    if not made and any((HOME / "env").glob("lib/python*/site-packages/matplotlib")):
        ids = [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
        program = [str(HOME / "env/bin/python"), "-c", "import matplotlib.font_manager"]
        run("setpriv", *ids, *program, MPLCONFIGDIR=str(folder))


def warm(config):
    """Make what an image has from its bake, and a first boot does not wait for: font cache and bytecode."""
    fonts(config)
    # No check: it exits with 1 if a package has a file that is not for this Python version.
    argv = [str(HOME / "env/bin/python"), "-m", "compileall", "-q", str(HOME / "env/lib")]
    subprocess.run(argv, check=False, stdin=subprocess.DEVNULL)
    os.sync()
    write(HOME / "env/warm", "")
