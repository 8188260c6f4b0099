"""What sessions can reach: the internet and the resolver of this host, and neither private networks nor the host.

Two chains per installation, entered for packets that come in from the bridge of its sessions: one from DOCKER-USER
(what is forwarded), one from INPUT (what is meant for the host itself). Answers to connections that the host opened
pass, or no session could be viewed. Each other the sessions cannot reach because their network has
`enable_icc=false`, and because the bridge's own addresses are private.
"""

from __future__ import annotations

import asyncio
import ipaddress
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import structlog

from greenroom.runtimes.docker_spec import Identity

log = structlog.get_logger(__name__)

PRIVATE: Final = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "224.0.0.0/4",
    "240.0.0.0/4",
)
"""Private, shared (carrier), loopback, link-local (metadata services of clouds), multicast and reserved addresses."""

RESOLV_CONF: Final = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))


class FirewallError(Exception):
    """The rules could not be set; the text is what iptables said."""


def chains(identity: Identity) -> tuple[str, str]:
    """Names of the chains for forwarded packets and for packets to the host (at most 28 characters)."""
    return f"GREENROOM-{identity.short}", f"GREENROOM-{identity.short}-IN"


def jumps(identity: Identity) -> list[list[str]]:
    """The rules that lead into the chains: (chain, match …)."""
    forward, host = chains(identity)
    return [
        ["DOCKER-USER", "-i", identity.bridge, "-j", forward],
        ["INPUT", "-i", identity.bridge, "-j", host],
    ]


def ruleset(identity: Identity, resolvers: Iterable[str]) -> str:
    """Input of `iptables-restore --noflush` that makes or refills both chains at once, and touches nothing else."""
    forward, host = chains(identity)
    lines = ["*filter", f":{forward} - [0:0]", f":{host} - [0:0]"]
    for chain in (forward, host):
        lines.append(f"-A {chain} -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN")
        lines += [
            f"-A {chain} -d {address} -p {protocol} --dport 53 -j RETURN"
            for address in resolvers
            for protocol in ("udp", "tcp")
        ]
    lines += [f"-A {forward} -d {network} -j REJECT --reject-with icmp-admin-prohibited" for network in PRIVATE]
    lines += [f"-A {forward} -j RETURN", f"-A {host} -j REJECT --reject-with icmp-admin-prohibited", "COMMIT"]
    return "\n".join(lines) + "\n"


def resolvers(texts: Iterable[str]) -> list[str]:
    """IPv4 addresses named in texts of the form of resolv.conf, without loopback ones (they are asked by the host)."""
    found: dict[str, None] = {}
    for line in "\n".join(texts).splitlines():
        words = line.split()
        if len(words) < 2 or words[0] != "nameserver":
            continue
        try:
            address = ipaddress.ip_address(words[1])
        except ValueError:
            continue
        if address.version == 4 and not address.is_loopback:
            found[str(address)] = None
    return list(found)


async def install(identity: Identity) -> None:
    """Set the rules; doing so again refreshes them.

    Raises:
        FirewallError: it is not possible, with the reason.
    """
    texts = [path.read_text(errors="replace") for path in RESOLV_CONF if path.is_file()]
    await _run(["iptables-restore", "--noflush", "-w", "5"], ruleset(identity, resolvers(texts)))
    for jump in jumps(identity):
        if not await _holds(jump):
            await _run(["iptables", "-w", "5", "-I", *jump])


async def remove(identity: Identity) -> None:
    """Take the rules away, as far as they are there."""
    if shutil.which("iptables") is None:
        return
    for jump in jumps(identity):
        while await _holds(jump):
            await _run(["iptables", "-w", "5", "-D", *jump])
    for chain in chains(identity):
        if await _holds(["-n"], verb="-L", chain=chain):
            await _run(["iptables", "-w", "5", "-F", chain])
            await _run(["iptables", "-w", "5", "-X", chain])


async def _holds(rule: list[str], verb: str = "-C", chain: str | None = None) -> bool:
    try:
        await _run(["iptables", "-w", "5", verb, *([chain] if chain else []), *rule])
    except FirewallError:
        return False
    return True


async def _run(command: list[str], text: str = "") -> None:
    program = shutil.which(command[0], path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None:
        raise FirewallError(f"{command[0]} is not installed")
    process = await asyncio.create_subprocess_exec(
        program,
        *command[1:],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, error = await process.communicate(text.encode())
    if process.returncode != 0:
        raise FirewallError(error.decode(errors="replace").strip() or f"{command[0]} ended with {process.returncode}")
