"""The files of one Squid: its configuration and its pages for refused addresses."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from greenroom.core.named_secrets import Brokered, quoted
from greenroom.core.web_filter import PRIVATE, PRIVATE_IPV6, FilterPolicy, levels, open_ports
from greenroom.kit.templates import templates

PAGES: Final = {
    "ERR_GREENROOM_LISTED": "It is in the deny list of the policy.",
    "ERR_GREENROOM_DEFAULT": "It is not in the allow list of the policy.",
    "ERR_GREENROOM_PRIVATE": "It leads to a private network or to the host, which no session may reach.",
    "ERR_GREENROOM_PORT": "The port or the kind of connection of this address is not allowed.",
}
"""Page → the reason for the user."""

_TEMPLATES: Final = templates("greenroom.agent.web_filter")


@dataclass(frozen=True, slots=True, kw_only=True)
class SquidLocation:
    """The location of one Squid: it `listens` only at these addresses and ports and serves the `subnet` of its network;
    it may write into `folder`, and its denials to `log`. `resolvers` are name servers; empty = those of its host.
    """

    listens: tuple[str, ...]
    subnet: str
    pages: str
    folder: str
    log: str
    resolvers: tuple[str, ...] = ()
    headers: str = ""
    """The file of the added headers; empty = none are added, and no connection is opened."""
    certificate: str = ""
    """The certificate for opened connections, and its key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    """A secret in Squid's notation."""

    exact: tuple[str, ...]
    below: tuple[str, ...]
    header: str
    value: str


def headers(secrets: Sequence[Brokered]) -> str:
    """The text of the file that adds secrets to requests, selected by `core.named_secrets.applies_to`."""
    found = [
        _Header(
            exact=tuple(host for host in secret.hosts if not host.startswith(".")),
            below=tuple(host for host in secret.hosts if host.startswith(".")),
            header=secret.header,
            value=quoted(secret.value),
        )
        for secret in secrets
    ]
    return _TEMPLATES.get_template("secrets.conf.j2").render(secrets=found)


def configuration(policy: FilterPolicy, place: SquidLocation) -> str:
    """The text of squid.conf."""
    return _TEMPLATES.get_template("squid.conf.j2").render(
        place=place,
        ports=open_ports(policy),
        private=(*PRIVATE, *PRIVATE_IPV6),
        levels=levels(policy),
        allows_the_rest=policy.default_action == "allow",
    )


def pages(policy: FilterPolicy) -> dict[str, str]:
    """Name → text of the pages for refused http addresses; Squid replaces `%H` with the host."""
    name = html.escape(policy.name).replace("%", "%%")
    template = _TEMPLATES.get_template("page.html.j2")
    return {page: template.render(why=why, policy=name) for page, why in PAGES.items()}
