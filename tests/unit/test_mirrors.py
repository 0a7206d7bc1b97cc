"""Package sources: those that a spec names, and those that the host uses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from notebake.errors import SpecError
from notebake.plan import host_apt, mirrors
from notebake.plan.host_apt import HostApt
from notebake.plan.plan import Plan
from notebake.provision import files, settings

DEBIAN_12 = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_CODENAME=bookworm\nID=debian\n'
NOBLE = "ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\nUBUNTU_CODENAME=noble\n"
DOCKER = (
    "Types: deb\nURIs: https://download.docker.com/linux/debian\nSuites: bookworm\nComponents: stable\n"
    "Signed-By: /etc/apt/keyrings/docker.asc\n"
)
MIRROR_FILE = (
    "Types: deb deb-src\nURIs: mirror+file:///etc/apt/mirrors/debian.list\n"
    "Suites: bookworm bookworm-updates\nComponents: main\n\n"
    "Types: deb deb-src\nURIs: mirror+file:///etc/apt/mirrors/debian-security.list\n"
    "Suites: bookworm-security\nComponents: main\n"
)
INLINE_KEY = (
    "Types: deb\nURIs: https://vendor.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\n"
    "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQINBFit\n -----END PGP PUBLIC KEY BLOCK-----\n"
)
OWN = "deb http://ftp.example/debian bookworm main\n"


@pytest.mark.parametrize(
    ("apt", "archive", "security"),
    [
        pytest.param({"sources.list": OWN}, "http://ftp.example/debian", None, id="one line"),
        pytest.param(
            {
                "sources.list.d/debian.sources": "# Debian's own\nTypes: deb\nURIs: http://ftp.example/debian\n"
                "Suites: bookworm bookworm-updates\nComponents: main contrib\n"
                "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n"
                "Types: deb\nURIs: http://sec.example/debian-security\nSuites: bookworm-security\n"
                "Components: main\n"
            },
            "http://ftp.example/debian",
            "http://sec.example/debian-security",
            id="deb822",
        ),
        pytest.param(
            {"sources.list.d/docker.sources": DOCKER, "sources.list": OWN},
            "http://ftp.example/debian",
            None,
            id="a vendor's repository first",
        ),
        pytest.param(
            {"sources.list": "deb https://download.docker.com/linux/debian bookworm stable\n" + OWN},
            "http://ftp.example/debian",
            None,
            id="a vendor's component",
        ),
        pytest.param(
            {
                "sources.list": "deb https://apt.vendor.example bookworm main\n"
                "deb https://mirror.example/pub/os bookworm main contrib\n"
                "deb https://mirror.example/pub/os bookworm-updates main\n"
            },
            "https://mirror.example/pub/os",
            None,
            id="a vendor's repository that looks alike",
        ),
        pytest.param(
            {
                "sources.list": "deb [arch=amd64 signed-by=/etc/apt/keyrings/v.gpg] "
                "https://v.example/debian bookworm main\n"
            },
            None,
            None,
            id="a vendor's key",
        ),
        pytest.param({"sources.list.d/vendor.sources": INLINE_KEY}, None, None, id="a vendor's key inside"),
        pytest.param(
            {
                "sources.list.d/x.sources": "Types: deb\nURIs: http://sec.example/debian-security\n"
                "Suites: bookworm-security\nComponents: main\n\nTypes: deb\nURIs: http://ftp.example/debian\n"
                "Suites: bookworm bookworm-updates\nComponents: main\n"
            },
            "http://ftp.example/debian",
            "http://sec.example/debian-security",
            id="security first",
        ),
        pytest.param(
            {
                "sources.list.d/debian.sources": MIRROR_FILE,
                "mirrors/debian.list": "https://deb.example/debian\tpriority:1\nhttp://other.example/debian\n",
                "mirrors/debian-security.list": "https://deb.example/debian-security\n",
            },
            "https://deb.example/debian",
            "https://deb.example/debian-security",
            id="a file of mirrors",
        ),
        pytest.param(
            {"sources.list.d/debian.sources": MIRROR_FILE},
            None,
            None,
            id="a file of mirrors that is missing",
        ),
        pytest.param(
            {
                "sources.list.d/debian.sources": MIRROR_FILE,
                "mirrors/debian.list": "file:///srv/mirror/debian\n",
            },
            None,
            None,
            id="a file of mirrors that no machine can reach",
        ),
        pytest.param(
            {
                "sources.list": "deb cdrom:[Debian_12]/ bookworm main\n"
                "deb file:/srv/debian bookworm main\n" + OWN
            },
            "http://ftp.example/debian",
            None,
            id="a CD and a folder",
        ),
        pytest.param(
            {
                "sources.list.d/debian.sources": "Enabled: no\nTypes: deb\nURIs: http://off.example/debian\n"
                "Suites: bookworm\nComponents: main\n",
                "sources.list": f"# deb http://off.example/debian bookworm main\ndeb-src {OWN[4:]}{OWN}",
            },
            "http://ftp.example/debian",
            None,
            id="switched off",
        ),
        pytest.param(
            {
                "sources.list": "deb http://ftp.example/debian stable main\n"
                "deb http://s.example stable-security main\n"
            },
            "http://ftp.example/debian",
            "http://s.example",
            id="by the suite's other name",
        ),
        pytest.param(
            {"sources.list": "deb http://ftp.example/debian bookworm-backports main\n"},
            None,
            None,
            id="backports",
        ),
        pytest.param({}, None, None, id="none"),
    ],
)  # fmt: skip
def test_the_hosts_own_mirror(
    tmp_path: Path, apt: dict[str, str], archive: str | None, security: str | None
) -> None:
    found = host_apt.read("debian", host(tmp_path, DEBIAN_12, apt))
    assert (found.archive, found.security) == (archive, security)
    assert (found.note is None) == (archive is not None)


def test_an_unusable_mirror_is_named(tmp_path: Path) -> None:
    found = host_apt.read("debian", host(tmp_path, DEBIAN_12, {"sources.list.d/debian.sources": MIRROR_FILE}))
    assert "mirror+file:///etc/apt/mirrors/debian.list" in str(found.note)


def test_another_distributions_mirror_is_not_taken(tmp_path: Path) -> None:
    debian = host(tmp_path, DEBIAN_12, {"sources.list": OWN})
    assert host_apt.read("ubuntu", debian) == HostApt(
        note="the host's apt mirror is not used: it is not a mirror of ubuntu"
    )
    noble = host(tmp_path / "noble", NOBLE, {"sources.list": "deb http://m.example/ubuntu noble main\n"})
    assert host_apt.read("debian", noble).archive is None
    assert host_apt.read("ubuntu", noble).archive == "http://m.example/ubuntu"


def test_a_host_that_is_no_linux_has_none(tmp_path: Path) -> None:
    assert host_apt.read("debian", tmp_path).archive is None


def host(root: Path, release: str, apt: dict[str, str]) -> Path:
    """A host's files below `root`: os-release, and /etc/apt by path."""
    for path, text in {
        "etc/os-release": release,
        **{f"etc/apt/{path}": text for path, text in apt.items()},
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


@pytest.mark.parametrize(
    ("table", "target", "lines"),
    [
        ("", "debian-13", []),
        (
            'apt = "http://m.example/debian"',
            "debian-13",
            [
                "http://m.example/debian trixie main",
                "http://m.example/debian trixie-updates main",
                "http://deb.debian.org/debian-security trixie-security main",
            ],
        ),
        (
            'apt = "http://m.example/debian"\napt_security = "http://s.example/sec"\n'
            'apt_components = ["main", "contrib"]',
            "debian-13",
            [
                "http://m.example/debian trixie main contrib",
                "http://m.example/debian trixie-updates main contrib",
                "http://s.example/sec trixie-security main contrib",
            ],
        ),
        (
            'apt_security = "http://s.example/sec"',
            "debian-13",
            [
                "http://deb.debian.org/debian trixie main",
                "http://deb.debian.org/debian trixie-updates main",
                "http://s.example/sec trixie-security main",
            ],
        ),
        (
            'apt = "http://m.example/ubuntu"\napt_components = ["main"]',
            "ubuntu-24.04",
            [f"http://m.example/ubuntu noble{pocket} main" for pocket in ("", "-updates", "-security")],
        ),
        ('apt = "http://m.example/debian"', "opensuse-leap-16.0", None),
    ],
)
def test_a_machine_gets_updates_and_security_beside_the_release(
    make_plan: Callable[..., Plan], table: str, target: str, lines: list[str] | None
) -> None:
    payload = {
        file.path: file.data.decode() for file in files.build(make_plan(f"[mirrors]\n{table}", target)).files
    }
    written = payload.get("root/etc/apt/sources.list", "").splitlines()
    assert [line.split("] ")[-1] for line in written] == (lines or [])
    assert all(line.startswith("deb [signed-by=/usr/share/keyrings/") for line in written)
    # cloud-init would write its own list over them.
    cloud = json.loads(payload["root/etc/cloud/cloud.cfg.d/90-notebake.cfg"])
    assert cloud.get("apt") == ({"preserve_sources_list": True} if lines else None)


@pytest.mark.parametrize("line", ['apt_security = "nowhere"', 'apt_components = ["main; rm"]'])
def test_a_wrong_source_is_refused(make_plan: Callable[..., Plan], line: str) -> None:
    with pytest.raises(SpecError, match=line.split(" ")[0]):
        make_plan(f"[mirrors]\n{line}")


@pytest.mark.parametrize("name", ["UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"])
@pytest.mark.parametrize(
    ("value", "index"),
    [
        ("corp=https://pypi.corp.example/simple", "https://pypi.corp.example/simple"),
        ("corp-2.x=http://[::1]:3141/root/+simple/?a=b", "http://[::1]:3141/root/+simple/?a=b"),
        (" https://pypi.example/simple\n", "https://pypi.example/simple"),
        ("https://pypi.example/a=https://b", "https://pypi.example/a=https://b"),
    ],
)
def test_the_hosts_index_is_a_url_without_uvs_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, index: str
) -> None:
    for other in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, value)
    assert mirrors.resolve("host", tmp_path).python == index


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("corp", "not a URL"),
        ("./wheels", "not a URL"),
        ("corp=https://me:secret@pypi.example/simple", "user or password"),
    ],
)
def test_an_index_that_no_machine_could_use_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, says: str
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", value)
    with pytest.raises(SpecError, match=says) as caught:
        mirrors.resolve("host", tmp_path)
    assert "secret" not in json.dumps([caught.value.message, caught.value.hint])


PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
OWN_HOSTS = "localhost,127.0.0.1,::1"


def test_a_named_proxy_reaches_the_machine(make_plan: Callable[..., Plan]) -> None:
    table = '[mirrors]\nproxy = "http://proxy.example:3128"\nno_proxy = [".corp.example", "10.0.0.0/8"]\n'
    config = files.config(make_plan(table))
    assert config["proxy"] == {
        "http_proxy": "http://proxy.example:3128",
        "https_proxy": "http://proxy.example:3128",
        "no_proxy": f"{OWN_HOSTS},.corp.example,10.0.0.0/8",
    }
    assert config["proxy_for_users"] is False
    assert files.config(make_plan(table + "proxy_for_users = true"))["proxy_for_users"] is True
    assert files.config(make_plan(""))["proxy"] == {}


def test_apt_reaches_a_mirror_in_a_domain_without_the_proxy(make_plan: Callable[..., Plan]) -> None:
    table = 'proxy = "http://p.example:3128"\napt = "http://mirror.corp.example/debian"\n'
    assert settings.apt_proxy(make_plan(f"[mirrors]\n{table}")) == [
        'Acquire::http::Proxy "http://p.example:3128";',
        'Acquire::https::Proxy "http://p.example:3128";',
    ]
    near = make_plan(f'[mirrors]\n{table}no_proxy = [".corp.example"]')
    assert settings.apt_proxy(near)[2:] == [
        'Acquire::http::Proxy::mirror.corp.example "DIRECT";',
        'Acquire::https::Proxy::mirror.corp.example "DIRECT";',
    ]


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ('proxy = "http://me:hunter2@proxy.example:3128"', "name a proxy of your own network that logs in"),
        ('proxy = "proxy.example:3128"', "not the URL of a proxy"),
        ('proxy = "socks5://proxy.example:1080"', "not the URL of a proxy"),
        ('proxy = "http://proxy.example:3128/\\"; rm"', "not the URL of a proxy"),
        ('no_proxy = ["corp.example"]', "need a mirrors.proxy"),
        ("proxy_for_users = true", "need a mirrors.proxy"),
        ('proxy = "http://p.example:3128"\nno_proxy = ["a b"]', "neither a host nor a domain"),
    ],
)
def test_a_wrong_proxy_is_refused(make_plan: Callable[..., Plan], table: str, says: str) -> None:
    with pytest.raises(SpecError, match=says) as caught:
        make_plan(f"[mirrors]\n{table}")
    assert "hunter2" not in json.dumps([caught.value.message, caught.value.hint])


def test_windows_takes_no_proxy_yet(make_plan: Callable[..., Plan]) -> None:
    with pytest.raises(SpecError, match="not supported on Windows"):
        make_plan('[mirrors]\nproxy = "http://p.example:3128"', "windows-2025")


@pytest.mark.parametrize(
    ("variables", "proxy", "note"),
    [
        ({}, {}, None),
        (
            {"https_proxy": "http://p.example:3128"},
            {"https_proxy": "http://p.example:3128", "no_proxy": OWN_HOSTS},
            None,
        ),
        (
            {
                "HTTP_PROXY": "p.example:8080",
                "HTTPS_PROXY": "https://q.example",
                "NO_PROXY": "localhost, .corp.example,",
            },
            {
                "http_proxy": "http://p.example:8080",
                "https_proxy": "https://q.example",
                "no_proxy": f"{OWN_HOSTS},.corp.example",
            },
            None,
        ),
        ({"http_proxy": "http://127.0.0.1:3128"}, {}, "http_proxy http://127.0.0.1:3128"),
        ({"https_proxy": "socks5h://p.example:1080"}, {}, "https_proxy socks5h://p.example:1080"),
    ],
)
def test_the_hosts_own_proxy(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    proxy: dict[str, str],
    note: str | None,
) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example/simple")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = mirrors.resolve("host", tmp_path)
    assert found.proxy == proxy
    assert (note or "") in "".join(found.notes) and bool(found.notes) == (note is not None)


def test_a_host_proxy_with_a_password_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example/simple")
    for value in ("http://me:hunter2@p.example:3128", "me:hunter2@p.example:3128"):
        monkeypatch.setenv("https_proxy", value)
        with pytest.raises(SpecError, match="https_proxy: the host's URL has a user or password") as caught:
            mirrors.resolve("host", tmp_path)
        assert "hunter2" not in json.dumps([caught.value.message, caught.value.hint])
