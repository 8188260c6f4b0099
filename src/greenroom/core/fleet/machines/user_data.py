"""What a new machine runs when it starts for the first time: it joins with the one-time token of its order, with its
edge gateway, and starts both.
"""

from __future__ import annotations

import ipaddress
import shlex
from dataclasses import dataclass
from string import Template
from typing import Final
from urllib.parse import urlsplit

DEFAULT_EDGE_URL: Final = "https://{address}:8443"
"""`{address}` is the machine's first address, `{hostname}` its name."""

_SCRIPT: Final = Template("""#!/bin/sh
# Greenroom: machine $name joins zone $zone. The token is for this machine alone, once.
set -eu
umask 077
address=$$(hostname -I | cut -d' ' -f1)
hostname=$$(hostname)
edge_url="$edge"
host=$${edge_url#https://}
host=$${host%:*}
token=$$(mktemp)
printf %s $token > "$$token"
try=0
until greenroom join $url --token-file "$$token" --edge-url "$$edge_url"$ca; do
  try=$$((try + 1))
  [ "$$try" -lt 20 ] || { echo "greenroom: this machine could not join; its order will end" >&2; exit 1; }
  sleep 5
done
rm -f "$$token"
install -d -m 0700 -o greenroom -g greenroom /var/lib/greenroom-gateway
cat > /var/lib/greenroom-gateway/gateway.toml <<END
gateway_profile = "edge"
gateway_dir = "/var/lib/greenroom-gateway/nginx"
edge_dir = "/var/lib/greenroom-edge"
stream_listen = "0.0.0.0:$${edge_url##*:}"
public_url = "$public_url"
served_hosts = "$$host"
END
chown greenroom:greenroom /var/lib/greenroom-gateway/gateway.toml
systemctl enable --now greenroom-agent greenroom-gateway
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Joining:
    """How a machine joins. `ca_sha256`: fingerprint of the authority of the deployment's certificate; empty = public.

    `public_url` is where people open the console, `join_url` where the machine reaches the same deployment.
    """

    name: str
    zone_name: str
    join_url: str
    public_url: str
    token: str
    ca_sha256: str = ""
    edge_url: str = DEFAULT_EDGE_URL


def user_data(joining: Joining) -> str:
    """A shell script, for cloud-init, or what else the image runs at its first start; Greenroom is installed in it."""
    edge = joining.edge_url.replace("{address}", "$address").replace("{hostname}", "$hostname")
    return _SCRIPT.substitute(
        name=joining.name,
        zone=joining.zone_name,
        edge=edge,
        token=shlex.quote(joining.token),
        url=shlex.quote(joining.join_url),
        ca=f" --ca-sha256 {shlex.quote(joining.ca_sha256)}" if joining.ca_sha256 else "",
        public_url=joining.public_url,
    )


def address_problem(url: str, *, this_host: bool = False) -> str | None:
    """Why no machine could join at this address, as a sentence; None = it could, as far as can be seen.

    `this_host`: machines may be on the api's own host.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return f"{url!r} is no address; it looks like https://desk.example.org:8443."
    if parts.scheme != "https" or not host or parts.path.strip("/") or parts.query or parts.username is not None:
        return f"{url!r} is no address of a deployment; it looks like https://desk.example.org:8443."
    if not this_host and _is_this_host(host):
        return (
            f"No machine could join at {url}, which is this host itself for each of them: start the deployment with a"
            " name that machines reach (greenroom up --hostname, public_url), or give the pool a join_url."
        )
    return None


def _is_this_host(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def edge_problem(template: str) -> str | None:
    """Why this cannot be the address of the machines' edge gateways, as a sentence; None = it can."""
    filled = template.replace("{address}", "192.0.2.1").replace("{hostname}", "host-1")
    problem = address_problem(filled)
    has_port = problem is None and urlsplit(filled).port is not None
    if not has_port or not set(template) <= _PLAIN:
        return (
            f"{template!r} cannot be the address of edge gateways; it looks like {DEFAULT_EDGE_URL} or"
            " https://{hostname}.example.org:8443."
        )
    return None


_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:/{}[]")
"""Characters of an address: it stands between quotes in a script."""
