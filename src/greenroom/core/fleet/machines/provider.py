"""The rules for providers of machines: options and secrets, the names of machines, the masking of secrets in the output
of providers, and the script that a new machine runs at its start.

Each provider defines its own `ProviderRules` (docs/howto/autoscaling.md).
"""

from __future__ import annotations

import json
import re
import shlex
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from string import Template
from typing import Any, Final
from urllib.parse import urlsplit

from greenroom.core.fleet.addresses import AllowedHost, is_this_host
from greenroom.core.fleet.machines.model import Machine
from greenroom.core.masking import MASK
from greenroom.core.text import one_line

MAX_REF_LENGTH: Final = 200
MAX_PROVIDER_TEXT_LENGTH: Final = 300
_NAME: Final = re.compile(r"gr-([0-9a-f]{8})-([0-9a-f]{8})-([0-9a-f]{32})")
MIN_MASKED_SECRET: Final = 4
"""The minimum length of a secret that is masked. Shorter values would occur in many texts by chance."""
MIN_MASKED_LINE: Final = 8
"""The minimum length of a line of a secret that is masked separately."""
_ESCAPES: Final = re.compile(r'(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))+')
"""A sequence of escaped characters as in JSON strings."""


def machine_name(installation_id: str, machine_pool_id: str, machine_order_id: str) -> str:
    """Return the name of a machine: at most 53 letters, digits and dashes, which every provider accepts."""
    return name_prefix(installation_id, machine_pool_id) + uuid.UUID(machine_order_id).hex


def name_prefix(installation_id: str, machine_pool_id: str) -> str:
    """Return the prefix of the names of the machines of a pool."""
    return f"gr-{installation_id[:8]}-{machine_pool_id[:8]}-"


def machines_of_pool(
    installation_id: str, machine_pool_id: str, listed: Iterable[tuple[str, str]]
) -> tuple[Machine, ...]:
    """Return the machines of this pool. `listed` has the pair (ref, name) of each machine that the provider lists;
    machines with other names and machines with unusable refs are ignored.
    """
    machines: list[Machine] = []
    for ref, name in listed:
        match = _NAME.fullmatch(name)
        if match and match[1] == installation_id[:8] and match[2] == machine_pool_id[:8] and is_usable_ref(ref):
            machines.append(Machine(ref, str(uuid.UUID(match[3]))))
    return tuple(sorted(machines, key=lambda machine: (machine.machine_order_id, machine.ref)))


def is_usable_ref(ref: str) -> bool:
    """True if this id of a machine at the provider can be stored and sent back to the provider unchanged."""
    return 0 < len(ref) <= MAX_REF_LENGTH and ref.isprintable()


def provider_text(text: str, secrets: Collection[str] = ()) -> str:
    """Return the output of a provider as one shortened line, with the secrets that it received masked."""
    masked_texts = {secret for secret in secrets if len(secret) >= MIN_MASKED_SECRET}
    masked_texts |= {
        line for secret in secrets for line in map(str.strip, secret.splitlines()) if len(line) >= MIN_MASKED_LINE
    }
    text = _mask(masked_texts, text)
    plain = _ESCAPES.sub(lambda match: json.loads(f'"{match[0]}"'), text)  # The output may contain a secret in JSON.
    if (masked := _mask(masked_texts, plain)) != plain:
        text = masked
    line = one_line(" ".join(text.encode(errors="replace").decode().split()))
    return line if len(line) <= MAX_PROVIDER_TEXT_LENGTH else line[: MAX_PROVIDER_TEXT_LENGTH - 1] + "…"


def _mask(masked_texts: Collection[str], text: str) -> str:
    for secret in sorted(masked_texts, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


Options = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderRules:
    """The rules for the options and secrets of a provider."""

    required_texts: tuple[str, ...] = ()
    """The names of the required options with texts."""
    destination_options: tuple[str, ...] = ()
    """The names of the options that define where requests are sent. Requests contain secrets."""
    has_real_machines: bool = True
    """True if machines are real and must reach the deployment; False if they are simulated."""
    has_own_options: bool = False
    """True if the provider has options that Greenroom does not interpret, such as a region, a project or an account."""
    problem: Callable[[Options, Sequence[AllowedHost]], str | None] = lambda _options, _trusted: None
    """Returns the reason why the provider cannot work with the options and the trusted hosts, as a sentence; None if it
    can. The options have all `required_texts`.
    """
    secrets_problem: Callable[[Mapping[str, str]], str | None] = lambda _secrets: None
    """Returns the reason why the provider cannot work with the secrets, as a sentence; None if it can."""


MAX_OPTION_LENGTH: Final = 1000
APPROVAL_PERMISSIONS: Final = ("agents_create", "agents_modify")
"""The permissions that are required to approve a pool, because its machines join as enabled Agents."""


def stays_approved(
    before: Mapping[str, Any], after: Mapping[str, Any], *, has_new_secrets: bool, by_approver: bool
) -> bool:
    """True if an approved pool stays approved after a change: the user who changes it may approve pools, or its secrets
    and the settings that determine which hosts join stay the same. `before` and `after` are its settings by name.
    """
    approved_settings = ("provider", "options", "join_url", "edge_url")
    return by_approver or not (has_new_secrets or any(before[name] != after[name] for name in approved_settings))


def options_problem(
    provider: str, rules: ProviderRules, options: Options, trusted: Sequence[AllowedHost] = ()
) -> str | None:
    """Return the reason why a provider cannot work with these options, as a sentence; None if no reason is found.

    `trusted` has the hosts of the setting `webhook_hosts`.
    """
    for name in rules.required_texts:
        value = options.get(name)
        if not isinstance(value, str) or not 0 < len(value) <= MAX_OPTION_LENGTH or not value.isprintable():
            return f"The provider {provider} needs the option {name}, a text."
    return rules.problem(options, trusted)


def is_same_destination(rules: ProviderRules, options: Options, other: Options) -> bool:
    """True if a provider sends its requests, which contain its secrets, to the same destination with both options."""
    return all(options.get(name) == other.get(name) for name in rules.destination_options)


def lists_same_machines(rules: ProviderRules, options: Options, other: Options) -> bool:
    """True if a provider lists the same machines with both options, as far as Greenroom can determine."""
    if rules.has_own_options and options != other:
        return False
    return is_same_destination(rules, options, other)


DEFAULT_EDGE_URL: Final = "https://{address}:8443"
"""The default address of the edge gateway of a machine: `{address}` is the first IP address of the machine. `edge_url`
may also contain `{hostname}`, its host name.
"""

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
class JoinParameters:
    """The values in the script with which a machine joins.

    `name` is the name of the machine, and `token` its join token. `ca_sha256` is the fingerprint of the authority that
    issued the certificate of the deployment; empty = a public authority. `public_url` is the address of the console for
    users; `join_url` is the address at which the machine reaches the deployment.
    """

    name: str
    zone_name: str
    join_url: str
    public_url: str
    token: str
    ca_sha256: str = ""
    edge_url: str = DEFAULT_EDGE_URL


def user_data(joining: JoinParameters) -> str:
    """Return the script with which a machine joins at its first start (cloud-init). The image of the machine contains
    Greenroom.
    """
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
    """Return the reason why no machine could join at this address, as a sentence; None if no reason is found.

    `this_host` is True if machines may run on the host of the api.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return f"{url!r} is not an address; write one like https://desk.example.org:8443."
    if parts.scheme != "https" or not host or parts.path.strip("/") or parts.query or parts.username is not None:
        return f"{url!r} is not the address of a deployment; write one like https://desk.example.org:8443."
    if not this_host and is_this_host(host):
        return (
            f"Machines cannot join at {url}, because it is the address of the machine itself. Start the "
            "deployment with a name that machines can reach (greenroom up --hostname, public_url), or set "
            "join_url of the pool."
        )
    return None


def edge_problem(template: str) -> str | None:
    """Return the reason why `template` cannot be the address of the edge gateways, as a sentence; None if it can."""
    filled = template.replace("{address}", "192.0.2.1").replace("{hostname}", "host-1")
    problem = address_problem(filled)
    has_port = problem is None and urlsplit(filled).port is not None
    if not has_port or not set(template) <= _PLAIN_CHARACTERS:
        return (
            f"{template!r} cannot be the address of edge gateways; write one like {DEFAULT_EDGE_URL} or "
            "https://{hostname}.example.org:8443."
        )
    return None


_PLAIN_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:/{}[]")
"""The characters that the address may contain, because the script contains it in quotes of the shell."""
