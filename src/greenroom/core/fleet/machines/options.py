"""What providers of machines have to be given, and what of it says where they are: secrets go nowhere else.

A provider of another package has `ProviderRules` of its own (docs/howto/machines.md).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from greenroom.core.fleet.addresses import AllowedHost
from greenroom.core.webhooks.addresses import url_problem

Options = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderRules:
    """What one provider has to be given."""

    texts: tuple[str, ...] = ()
    """Options that it needs, each a text."""
    place: tuple[str, ...] = ()
    """Options that say where requests, and with them secrets, go."""
    joins: bool = True
    """Its machines exist, and have to reach the deployment."""
    has_own_options: bool = False
    """What it makes of other options is not known: any may name a region, a project or an account."""
    problem: Callable[[Options, Sequence[AllowedHost]], str | None] = lambda _options, _trusted: None
    """Why it cannot work with options that have the texts, as a sentence. The second argument: `options_problem`."""
    secrets_problem: Callable[[Mapping[str, str]], str | None] = lambda _secrets: None
    """Why it cannot work with these secrets, as a sentence."""


_OBJECTS: Final = ("arguments", "create")
ARGUMENTS: Final = frozenset({"datacenter", "location", "project", "region", "subscription_id", "tenant_id"})
"""Arguments of a driver that a pool may choose. Where a cloud is, and files, are for the Manager's settings."""
_PLACES: Final = re.compile(r"(?:.*_)?(?:file|host|path|port|secure|uri|url)", re.DOTALL)
"""Names of arguments that lead to another address or read a file."""
PUBLIC_CLOUDS: Final[Mapping[str, Mapping[str, Any]]] = {
    name: {} for name in ("azure_arm", "digitalocean", "ec2", "gce", "linode", "scaleway", "upcloud", "vultr")
}
"""Drivers whose addresses Apache Libcloud knows, which need no setting; each with its fixed arguments."""
MAX_TEXT: Final = 1000
_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
TOKEN: Final = "token"  # noqa: S105 -- its name
"""The secret that the provider webhook sends as a header."""
APPROVERS: Final = ("agents_create", "agents_modify")
"""Permissions of a user who approves a pool: its machines join as Agents, and are enabled as they join."""


def is_vouched_for(
    before: Mapping[str, Any], after: Mapping[str, Any], *, has_new_secrets: bool, by_approver: bool
) -> bool:
    """Whether an approved pool stays approved after a change: the same hosts join at the same addresses, or the change
    is by a user who approves pools. `before` and `after` have the settings of the pool by name.
    """
    deciding = ("provider", "options", "join_url", "edge_url")
    return by_approver or not (has_new_secrets or any(before[name] != after[name] for name in deciding))


def options_problem(
    provider: str, rules: ProviderRules, options: Options, trusted: Sequence[AllowedHost] = ()
) -> str | None:
    """Why a provider cannot work with these options, as a sentence; None = it can, as far as can be seen. `trusted` are
    the hosts of the setting `webhook_hosts`.
    """
    for name in rules.texts:
        value = options.get(name)
        if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT or not value.isprintable():
            return f"The provider {provider} needs the option {name}, a text."
    return rules.problem(options, trusted)


def _command_problem(options: Options, _: Sequence[AllowedHost]) -> str | None:
    if PurePosixPath(options["program"]).is_absolute():
        return None
    return "The option program is the absolute path of a program, in a folder of GREENROOM_MACHINE_COMMANDS."


def _webhook_problem(options: Options, trusted: Sequence[AllowedHost]) -> str | None:
    return url_problem(options["url"], trusted)


def _cloud_problem(options: Options, _: Sequence[AllowedHost]) -> str | None:
    if wrong := next((name for name in _OBJECTS if not isinstance(options.get(name, {}), Mapping)), None):
        return f"The option {wrong} is an object of names and values."
    arguments, create = (options.get(name, {}) for name in _OBJECTS)
    if others := sorted(set(arguments) - ARGUMENTS):
        return (
            f"A pool may not choose the argument {others[0]} of a driver, only {', '.join(sorted(ARGUMENTS))}; the"
            " setting GREENROOM_MACHINE_CLOUDS of the Managers has the others."
        )
    if places := sorted(name for name in create if _PLACES.fullmatch(name.lower())):
        return f"The option create may not have {places[0]}, which leads to an address or a file."
    if wrong := next((n for n, v in arguments.items() if not isinstance(v, str) or not _PLAIN.fullmatch(v)), None):
        return f"The argument {wrong} is a text of letters, digits and ._-."
    return None


def _token_problem(secrets: Mapping[str, str]) -> str | None:
    token = secrets.get(TOKEN, "")
    if token.isascii() and token.isprintable() and token == token.strip():
        return None
    return f"The secret {TOKEN} is sent as a header: printable ASCII characters, without spaces around them."


def is_same_place(rules: ProviderRules, options: Options, other: Options) -> bool:
    """Whether one provider's requests, and with them secrets, go to the same program, address or cloud."""
    return all(options.get(name) == other.get(name) for name in rules.place)


def shows_same_machines(rules: ProviderRules, options: Options, other: Options) -> bool:
    """Whether one provider shows the same machines, as far as options say."""
    if rules.has_own_options and options != other:
        return False
    return is_same_place(rules, options, other)


COMMAND: Final = ProviderRules(texts=("program",), place=("program",), has_own_options=True, problem=_command_problem)
WEBHOOK: Final = ProviderRules(
    texts=("url",), place=("url",), has_own_options=True, problem=_webhook_problem, secrets_problem=_token_problem
)
LIBCLOUD: Final = ProviderRules(
    texts=("driver", "size", "image"), place=("driver", "arguments"), problem=_cloud_problem
)
"""The driver gets its `arguments` alone, so no other option decides which machines it shows."""
SIMULATED: Final = ProviderRules(joins=False)
