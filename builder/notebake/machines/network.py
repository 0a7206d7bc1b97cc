"""The network of one nspawn machine: namespace, veth pair, a free /30, NAT in a table of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import ipaddress
import itertools
import json
from collections.abc import Iterable
from pathlib import Path

import tenacity

from notebake import process
from notebake.errors import CommandFailed
from notebake.machines.machine import Network, every

INTERFACE = "host0"  # the guest's end
# Private ranges (RFC 1918) that few networks use.
_POOLS = ("10.213.0.0/16", "172.29.0.0/16", "192.168.213.0/24")
_SECONDS = 30
_SYSCTL = Path("/proc/sys/net/ipv4")


def names(folder: Path) -> str:
    """Return the part that all host-wide names of a machine share: eight hex digits of its folder's hash.

    A machine's own name would not do: interfaces have 15 characters, and two users may use one name.
    """
    return hashlib.sha256(str(folder).encode()).hexdigest()[:8]


def free(used: Iterable[str]) -> tuple[str, str]:
    """Return (host's address, guest's address) of the first /30 that overlaps nothing in `used` (CIDRs)."""
    taken = [ipaddress.IPv4Network(each, strict=False) for each in used]
    # Whole pools that lie within a route are skipped first: 16,384 comparisons each are not needed.
    for pool in map(ipaddress.IPv4Network, _POOLS):
        near = [each for each in taken if each.overlaps(pool)]
        for candidate in pool.subnets(new_prefix=30):
            if not any(candidate.overlaps(each) for each in near):
                return str(candidate[1]), str(candidate[2])
    raise CommandFailed(f"network: no free /30 in {', '.join(_POOLS)}", "stop a machine: notebake ps")


def plan(tag: str, cgroups: tuple[Path, ...]) -> Network:
    """Return names and free addresses for a new machine. A stopped machine keeps its addresses."""
    kept = [f"{each.network.host}/30" for each in every() if each.network]
    host, guest = free([*_used(), *kept])
    return Network(
        netns=f"notebake-{tag}",
        veth=f"nb-{tag}",
        table=f"notebake-{tag}",
        cgroups=cgroups,
        host=host,
        guest=guest,
    )


def create(network: Network, *, public: int, inside: int, offline: bool) -> Network:
    """Create the network on the host, or nothing of it on a failure. Requires root.

    `public` on the guest's address leads to `inside` for programs of this host. Raises MissingTool or
    CommandFailed.
    """
    mine = ipaddress.IPv4Network(f"{network.host}/30", strict=False)
    if any(ipaddress.IPv4Network(each, strict=False).overlaps(mine) for each in _used()):
        raise CommandFailed(
            f"network: {mine}, which the machine had, is now used by another network of this host",
            f"find it with `ip route get {network.guest}` and remove it",
        )
    ways = () if offline else _ways_out()
    veth, netns = network.veth, network.netns
    try:
        _ip("netns", "add", netns)
        _ip("link", "add", veth, "type", "veth", "peer", "name", INTERFACE, "netns", netns)
        _ip("address", "add", f"{network.host}/30", "dev", veth)
        _ip("link", "set", veth, "up")
        _ip("-n", netns, "link", "set", "lo", "up")
        _ip("-n", netns, "link", "set", INTERFACE, "up")
        nat = rules(network, public=public, inside=inside, offline=offline)
        process.run(["nft", "-f", "-"], stdin=nat.encode(), timeout=_SECONDS)
        if not offline:
            _forward(veth, True)
        # Those that another machine of ours switched on are shared: the last one switches them off.
        shared = _forwarding_of_others(network)
        switched = tuple(name for name in ways if _forward(name, True) or name in shared)
        return dataclasses.replace(network, forwarding=switched)
    except BaseException:
        remove(network)
        raise


def rules(network: Network, *, public: int, inside: int, offline: bool) -> str:
    """Return the nftables input: the public port for this host's own programs, and the outgoing network."""
    lines = [f"table ip {network.table} {{"]
    if public != inside:
        lines += [
            "chain public {",
            "type nat hook output priority -100",
            f"ip daddr {network.guest} tcp dport {public} dnat to {network.guest}:{inside}",
            "}",
        ]
    if not offline:
        lines += [
            "chain out {",
            "type nat hook postrouting priority 100",
            f'ip saddr {network.guest} oifname != "{network.veth}" masquerade',
            "}",
        ]
    return "\n".join([*lines, "}"]) + "\n"


def remove(network: Network) -> None:
    """Remove all that `create` made and that still exists."""
    process.run(["nft", "delete", "table", "ip", network.table], timeout=_SECONDS, check=False)
    process.run(["ip", "link", "delete", network.veth], timeout=_SECONDS, check=False)
    process.run(["ip", "netns", "delete", network.netns], timeout=_SECONDS, check=False)
    stop_forwarding(set(network.forwarding) - _forwarding_of_others(network))
    # All first: a group of the old kind (cgroup v1) knows no kill, the same processes are in both.
    for group in network.cgroups:
        with contextlib.suppress(OSError):
            (group / "cgroup.kill").write_text("1", encoding="ascii")
    for group in network.cgroups:
        _remove_cgroup(group)


def nameservers() -> list[str]:
    """Return the host's IPv4 resolvers that a machine can reach too: none on the host's loopback."""
    for path in (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf")):
        found = []
        for line in _lines(path):
            words = line.split()
            if len(words) > 1 and words[0] == "nameserver":
                try:
                    address = ipaddress.ip_address(words[1])
                except ValueError:
                    continue
                if address.version == 4 and not address.is_loopback:
                    found.append(words[1])
        if found:
            return found
    return []


def config(network: Network, *, offline: bool) -> bytes:
    """Return the seed's network-config (cloud-init's version 2, which is YAML; JSON is YAML)."""
    host0: dict[str, object] = {"addresses": [f"{network.guest}/30"], "dhcp4": False}
    if not offline:
        host0["routes"] = [{"to": "0.0.0.0/0", "via": network.host}]
        if servers := nameservers():
            host0["nameservers"] = {"addresses": servers}
    return json.dumps({"version": 2, "ethernets": {INTERFACE: host0}}, indent=2).encode() + b"\n"


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _ip(*argv: str) -> bytes:
    return process.run(["ip", *argv], timeout=_SECONDS).stdout


def _used() -> list[str]:
    routes = [each["dst"] for each in json.loads(_ip("-j", "-4", "route", "show", "table", "all"))]
    addresses = [
        f"{info['local']}/{info['prefixlen']}"
        for each in json.loads(_ip("-j", "-4", "address"))
        for info in each.get("addr_info", ())
    ]
    used = []
    for each in itertools.chain(routes, addresses):
        try:
            ipaddress.IPv4Network(each, strict=False)
        except ValueError:
            continue  # `default`
        used.append(each)
    return used


def _ways_out() -> tuple[str, ...]:
    """Return the interfaces of the host's default routes; none on a host without network."""
    routes = json.loads(_ip("-j", "-4", "route", "show", "default") or b"[]")
    return tuple(sorted({each["dev"] for each in routes if "dev" in each}))


def _forwarding_of_others(network: Network) -> set[str]:
    running = [each.network for each in every() if each.network and each.alive()]
    return {name for each in running if each.netns != network.netns for name in each.forwarding}


def stop_forwarding(interfaces: Iterable[str]) -> None:
    """Switch forwarding of these interfaces off, unless the whole host forwards by now.

    Another engine (Docker, libvirt, Incus) sets ip_forward, and would lose its network.
    """
    if (_SYSCTL / "ip_forward").read_text(encoding="ascii").strip() == "0":
        for name in interfaces:
            _forward(name, False)


def _forward(interface: str, on: bool) -> bool:
    """Switch forwarding of one interface, not of the whole host; return whether that changed anything."""
    path = _SYSCTL / f"conf/{interface}/forwarding"
    value = "1" if on else "0"
    try:
        if path.read_text(encoding="ascii").strip() == value:
            return False
        path.write_text(value, encoding="ascii")
    except OSError as error:
        if not on:
            return False  # the interface was removed
        raise CommandFailed(f"{path}: {error.strerror}", "forwarding is needed; or launch offline") from None
    return True


def _remove_cgroup(group: Path) -> None:
    """Remove the machine's own control group."""
    # A killed process is in its group until init has reaped it: the group is busy for that long.
    patience = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(OSError),
        wait=tenacity.wait_fixed(0.1),
        stop=tenacity.stop_after_delay(15),
        reraise=True,
    )
    with contextlib.suppress(OSError):
        patience(_rmtree, group)


def _rmtree(group: Path) -> None:
    if group.exists():
        for each in sorted(group.rglob("*/"), key=lambda path: len(path.parts), reverse=True):
            each.rmdir()
        group.rmdir()
