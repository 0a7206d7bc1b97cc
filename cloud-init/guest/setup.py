"""Turn this plain Linux into a notebook machine. Run by root; every step may run twice.

Delivered twice, defined once: cloud-init unpacks this folder at first boot and starts
notebake-setup.service; Packer unpacks the same folder and runs `setup.py --bake`. All values come
from config.json beside this file. A step cut off by a power loss is made anew at the next boot:
what counts as done is written last, after a sync.
"""

import hashlib
import html
import json
import os
import pwd
import re
import shutil
import ssl
import subprocess
import sys
import time
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path

GUEST = Path(__file__).resolve().parent
HOME = Path("/opt/notebake")
STATE = Path("/var/lib/notebake")
UNITS = Path("/etc/systemd/system")
DONE = GUEST / "complete"
CA_BUNDLE = HOME / "ca.pem"
SYSTEM_CA = ("/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/ca-bundle.pem")


def say(text):
    print(f"notebake: {text}", flush=True)
    try:
        with open("/dev/console", "w") as console:
            console.write(f"notebake: {text}\n")
    except OSError:
        pass


def run(*argv, **env):
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, env={**os.environ, **env})


def write(path, data, mode=0o644, owner=None):
    """Whole or not at all: beside, synced, renamed. Unchanged bytes stay as they are."""
    data = data.encode() if isinstance(data, str) else data
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)
        if owner:
            os.fchown(file.fileno(), *owner)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def programs(config):
    """Install the release's own packages for programs that are missing; none, none is asked for."""
    missing = sorted(
        {package for program, package in config["programs"].items() if not shutil.which(program)}
    )
    if not missing:
        return
    sources = Path("/run/notebake")
    sources.mkdir(exist_ok=True)
    if config["family"] == "apt":
        options = ["-o", "DPkg::Lock::Timeout=900", "-o", "Acquire::Retries=3"]
        if config["apt_mirror"]:
            release = dict(
                line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line
            )
            (sources / "sources.list").write_text(
                f"deb {config['apt_mirror']} {release['VERSION_CODENAME'].strip(chr(34))} main\n"
            )
            options += ["-o", f"Dir::Etc::SourceList={sources}/sources.list", "-o", "Dir::Etc::SourceParts=-"]
        if CA_BUNDLE.exists():
            options += ["-o", f"Acquire::https::CAInfo={CA_BUNDLE}"]
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        run("dpkg", "--force-confold", "--configure", "-a", **quiet)
        run("apt-get", *options, "-q", "update", **quiet)
        run("apt-get", *options, "-qy", "--no-install-recommends", "install", *missing, **quiet)
    else:
        options = ["--non-interactive"]
        if config["zypper_repo"]:
            (sources / "notebake.repo").write_text(
                f"[notebake]\nname=notebake\nenabled=1\nautorefresh=1\nbaseurl={config['zypper_repo']}\n"
            )
            options += ["--reposd-dir", str(sources)]
        run("zypper", *options, "install", "--no-recommends", *missing)


def firewall(config):
    """Let ssh and the notebook's port in, nothing else."""
    port = config["port"]
    if config["firewall"] == "nftables":
        rules = (GUEST / "firewall.nft").read_text().replace("@port@", str(port))
        write(Path("/etc/nftables.conf"), rules, 0o755)
        run("systemctl", "enable", "nftables.service")
        run("systemctl", "restart", "nftables.service")
    elif config["firewall"] == "ufw":
        for rule in ("22/tcp", f"{port}/tcp"):
            run("ufw", "allow", rule)
        run("ufw", "--force", "enable")
    else:
        run("systemctl", "enable", "--now", "firewalld.service")
        run("firewall-cmd", "--permanent", "--zone=public", "--add-service=ssh")
        run("firewall-cmd", "--permanent", "--zone=public", f"--add-port={port}/tcp")
        run("firewall-cmd", "--reload")


def user(config):
    try:
        pwd.getpwnam(config["user"])
    except KeyError:
        run("useradd", "--create-home", "--user-group", "--shell", "/bin/bash", config["user"])


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


def profile(config):
    """The kernel with its profile, the server's config, the folder and its first notebooks."""
    account = pwd.getpwnam(config["user"])
    owner = (account.pw_uid, account.pw_gid)
    env, name, home = HOME / "env", config["profile"], Path(account.pw_dir)
    argv = [str(env / "bin/python"), "-m", "ipykernel_launcher", "-f", "{connection_file}", "--profile", name]
    spec = {
        "argv": argv,
        "display_name": f"Python 3 ({name})",
        "language": "python",
        "metadata": {"debugger": True},
    }
    write(env / "share/jupyter/kernels" / name / "kernel.json", json.dumps(spec, indent=1))

    def folder(path):
        for part in (
            [*reversed(path.relative_to(home).parents), path.relative_to(home)]
            if path.is_relative_to(home)
            else []
        ):
            own(home / part)
        if not path.is_relative_to(home):
            path.mkdir(parents=True, exist_ok=True)
            own(path)

    def own(path):
        path.mkdir(exist_ok=True)
        os.chown(path, *owner)

    ipython = home / ".ipython" / f"profile_{name}"
    folder(ipython)
    pylab = "" if config["pylab"] == "none" else f"c.IPKernelApp.pylab = {json.dumps(config['pylab'])}\n"
    write(ipython / "ipython_kernel_config.py", "c = get_config()  # noqa: F821\n" + pylab, owner=owner)
    notebooks = home / config["folder"]  # an absolute folder stays what it is
    folder(notebooks)
    for source in sorted((GUEST / "notebooks").glob("*.ipynb")):
        if not (notebooks / source.name).exists():
            write(notebooks / source.name, source.read_bytes(), owner=owner)
    server = {
        "ServerApp": {
            "ip": "",
            "port": config["port"],
            "port_retries": 0,
            "open_browser": False,
            "allow_remote_access": True,
            "root_dir": str(notebooks),
            "certfile": str(STATE / "tls/cert.pem"),
            "keyfile": str(STATE / "tls/key.pem"),
            "jpserver_extensions": {"notebook": True, "jupyter_lsp": False},
        },
        "MultiKernelManager": {"default_kernel_name": name},
        # A kernel's first start imports NumPy and matplotlib: on a small or emulated machine that is
        # more than the minute after which the server would close the page's connection.
        "MappingKernelManager": {"kernel_info_timeout": 600},
        "KernelSpecManager": {"allowed_kernelspecs": [name], "ensure_native_kernel": False},
        "LabApp": {"news_url": None, "check_for_updates_class": "jupyterlab.NeverCheckForUpdate"},
    }
    if config["password"]:
        server["PasswordIdentityProvider"] = {
            "hashed_password": config["password"],
            "password_required": True,
            "allow_password_change": False,
        }
    # The hash is for the server alone: not for other users of the machine.
    write(
        Path("/etc/jupyter/jupyter_server_config.json"),
        json.dumps(server, indent=1),
        0o640,
        (0, account.pw_gid),
    )


def cloud(config):
    """What clones of a golden image need of cloud-init: the same user, locale, mirrors as user-data names."""
    write(Path("/etc/cloud/cloud.cfg.d/90-notebake.cfg"), json.dumps(config["cloud"]) + "\n")


def trust(config):
    """The extra CA certificates for the whole system; the folder is named as the release's family wants it."""
    if (GUEST / "ca.pem").exists():
        apt = config["family"] == "apt"
        folder = Path("/usr/local/share/ca-certificates" if apt else "/etc/pki/trust/anchors")
        pems = (GUEST / "ca.pem").read_text().split("-----BEGIN CERTIFICATE-----")[1:]
        for number, pem in enumerate(pems, 1):
            write(folder / f"notebake-{number}.crt", "-----BEGIN CERTIFICATE-----" + pem)
        run("update-ca-certificates")


def services(config, bake):
    for source in sorted((GUEST / "units").iterdir()):
        write(UNITS / source.name, source.read_text().replace("@user@", config["user"]))
    run("systemctl", "daemon-reload")
    names = sorted(
        source.name for source in (GUEST / "units").iterdir() if source.name != "notebake-setup.service"
    )
    run("systemctl", "enable", "--quiet", *names)
    if bake:
        write(HOME / "env/warm", "")
    else:
        run("systemctl", "start", "--no-block", *names)


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


def main():
    bake = "--bake" in sys.argv[1:]
    config = json.loads((GUEST / "config.json").read_text())
    os.environ.setdefault("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
    STATE.mkdir(mode=0o755, parents=True, exist_ok=True)
    if "--warm" in sys.argv[1:]:
        warm(config)
        return
    steps = {
        "programs": lambda: programs(config),
        "firewall": lambda: firewall(config),
        "user": lambda: user(config),
        "environment": lambda: environment(config, bake),
        "profile": lambda: profile(config),
        "fonts": lambda: fonts(config) if bake else None,
        "cloud": lambda: cloud(config),
        "services": lambda: services(config, bake),
        "trust": lambda: trust(config),
    }
    for name, step in steps.items():
        started = time.monotonic()
        try:
            step()
        except (Exception, SystemExit) as error:
            say(f"setup failed at {name}: {error}")
            raise
        say(f"setup {name} {time.monotonic() - started:.1f} s")
    os.sync()
    write(DONE, "")


if __name__ == "__main__":
    main()
