"""Named secrets that the web filter of a lease adds to requests: to which hosts, in which header, who may use them.

And how a session believes that web filter.

A host is an exact name, or `.example.com` for each host directly below example.com, as a certificate's `*.example.com`
means it. Requests count only by https at port 443. Squid's configuration (`agent/web_filter/templates`) agrees with
`goes_to`.

The filter opens connections to the hosts of the secrets, so programs see its certificate there. Its authority is for
this session alone. Programs read it from one of these files, or Chromium from its policies.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import re
import ssl
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import combinations
from typing import TYPE_CHECKING, Final

from greenroom.core.errors import Invalid
from greenroom.core.web_filter import FilterPolicy, decision, domain
from greenroom.core.workspace.session_spec import SessionFile

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList


PLACE: Final = "{secret}"
"""What stands for the secret in a template."""
MAX_HOSTS: Final = 20
MAX_SECRETS: Final = 20
"""Of one lease."""
MAX_HEADER: Final = 1800
"""Characters of a header's value as Squid's configuration has it; Squid reads no longer one."""

_HEADER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_CONNECTION: Final = frozenset(
    [
        *("connection", "content-length", "expect", "host", "keep-alive"),
        *("te", "trailer", "transfer-encoding", "upgrade", "via"),
    ]
)
"""Headers that say how a message is carried: they are the filter's."""
_SQUIDS: Final = frozenset({"all", "other"})
"""What Squid takes for more than one header."""
_NOT_FOR_SECRETS: Final = frozenset({"accept-encoding", "cookie", "max-forwards", "range", "referer"})
"""Headers that sites log, store or send on, or that change how the answer comes."""
_PRINTABLE: Final = re.compile(r"[ -~]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Brokered:
    """A secret as the filter of a lease has it: requests to `hosts` get this `header`, in place of their own."""

    name: str
    hosts: tuple[str, ...]
    header: str
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretUsers:
    """Who may use a secret: its owner, and these users, groups and API keys."""

    owner_id: str | None = None
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()

    def include(self, *, user_id: str | None, key_id: str | None, groups: Collection[str]) -> bool:
        """Whether a caller is one of them: a user or an API key's owner, that key, or one of their groups."""
        if user_id is not None and user_id in (self.owner_id, *self.users):
            return True
        return key_id in self.keys or not set(groups).isdisjoint(self.groups)


# What may be written --------------------------------------------------------------------------------------------------


def host(text: str) -> str:
    """A host of a secret as it is stored.

    Raises:
        Invalid: it is none; the sentence says what to write instead.
    """
    name = text.strip()
    if "*" in name:
        below = name.removeprefix("*.") if name.startswith("*.") and "*" not in name[2:] else "example.com"
        raise Invalid(f"{_shown(text)} has a wildcard; write .{below} for each host directly below {below}.")
    if _is_address(name):
        raise Invalid(f"{_shown(text)} is an IP address; a secret goes only to hosts with names.")
    if "://" in name or "/" in name or ":" in name:
        raise Invalid(f"{_shown(text)} is an address; write the host alone, like api.example.com: https, port 443.")
    suffix = name.startswith(".")
    found = domain(name.removeprefix("."))
    if "." not in found:
        raise Invalid(f"{_shown(text)} has no dot inside; write a whole name, like api.example.com.")
    if _public_suffixes().is_public(found):
        raise Invalid(
            f"{_shown(text)} is a public suffix, with hosts of many owners below it; write one of these hosts."
        )
    return f".{found}" if suffix else found


@cache
def _public_suffixes() -> PublicSuffixList:
    """The list that comes with the package, with the suffixes that companies registered, like github.io."""
    from publicsuffixlist import PublicSuffixList  # noqa: PLC0415 -- only the api checks hosts

    return PublicSuffixList()


def hosts(texts: Sequence[str]) -> tuple[str, ...]:
    """The hosts of a secret as they are stored: unique and sorted.

    Raises:
        Invalid: one is no host, or there are none or too many.
    """
    if not 0 < len(texts) <= MAX_HOSTS:
        raise Invalid(f"A secret goes to 1 to {MAX_HOSTS} hosts; these are {len(texts)}.")
    return tuple(sorted({host(text) for text in texts}))


def header(text: str) -> str:
    """The name of a header that a secret may be in.

    Raises:
        Invalid: it is none; the sentence says why.
    """
    if not _HEADER.fullmatch(text):
        raise Invalid(f"{_shown(text)} is not the name of a header; write one like Authorization or x-api-key.")
    lower = text.lower()
    if lower in _CONNECTION or lower.startswith("proxy-"):
        raise Invalid(f"{text} says how a request is carried, and is the web filter's; a secret cannot be in it.")
    if lower in _SQUIDS:
        raise Invalid(f"{text} means several headers to the web filter; a secret cannot be in it.")
    if lower in _NOT_FOR_SECRETS:
        raise Invalid(f"{text} is not a header for a secret; write one like Authorization or x-api-key.")
    return text


def template(text: str) -> str:
    """What the header has, with `{secret}` in the place of the secret.

    Raises:
        Invalid: the place is missing or there are several, or the text cannot be in a header.
    """
    if text.count(PLACE) != 1:
        raise Invalid(f"A template has {PLACE} once, in the place of the secret, like Bearer {PLACE}.")
    _require_printable(text, "The template")
    return text


def header_value(template_text: str, secret: str) -> str:
    """The header's value: the template with the secret in its place.

    Raises:
        Invalid: the secret cannot be in a header. The sentence does not have it.
    """
    if not secret or secret != secret.strip():
        raise Invalid("The value is empty, or has a space or an end of line at one of its ends; leave that out.")
    _require_printable(secret, "The value")
    value = template_text.replace(PLACE, secret)
    if len(quoted(value)) > MAX_HEADER:
        raise Invalid(f"The value is too long: with its template a header has at most {MAX_HEADER} characters.")
    return value


def _require_printable(text: str, what: str) -> None:
    if not _PRINTABLE.fullmatch(text):
        raise Invalid(f"{what} has a control character or one outside of ASCII, which no header can have.")


def quoted(value: str) -> str:
    """A header's value as Squid's configuration has it."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "…")


# Where it goes --------------------------------------------------------------------------------------------------------


def goes_to(secret_hosts: Iterable[str], name: str) -> bool:
    """Whether requests to the host with this name, by https at port 443, get the secret."""
    lower = name.lower()
    return any(lower == one or (one.startswith(".") and lower.partition(".")[2] == one[1:]) for one in secret_hosts)


def names_of_certificate(secrets: Iterable[Brokered]) -> list[str]:
    """The names that a filter's own certificate has, for hosts whose connections it opens."""
    return sorted({f"*{one}" if one.startswith(".") else one for secret in secrets for one in secret.hosts})


def _overlap(one: str, other: str) -> bool:
    return one == other or goes_to((one,), other) or goes_to((other,), one)


def require_distinct(secrets: Sequence[Brokered]) -> None:
    """Refuse secrets of which a request would get two in the same header.

    Raises:
        Invalid: names both.
    """
    for one, other in combinations(secrets, 2):
        same = one.header.lower() == other.header.lower()
        if same and any(_overlap(a, b) for a in one.hosts for b in other.hosts):
            raise Invalid(f"The secrets {one.name} and {other.name} are both in the header {one.header} of one host.")


def require_reached(policy: FilterPolicy, name: str, secret_hosts: Iterable[str]) -> None:
    """Refuse a secret for hosts that a lease does not reach.

    Raises:
        Invalid: names the first such host.
    """
    for one in secret_hosts:
        if decision(policy, one.removeprefix(".")).action == "deny":
            raise Invalid(f"The secret {name} goes to {one}, which the lease does not reach; add it to options.egress.")


AUTHORITY: Final = "/etc/greenroom/filter-authority.pem"
BUNDLE: Final = "/etc/greenroom/ca-certificates.crt"
"""The authorities that the image believes, and this one."""
BUNDLES: Final = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
"""Where images keep theirs: Debian, Ubuntu, Alpine, Arch; Fedora, RHEL."""
BROWSER_POLICIES: Final = (
    "/etc/chromium/policies/managed/greenroom-filter.json",
    "/etc/opt/chrome/policies/managed/greenroom-filter.json",
)

VARIABLES: Final = {
    **dict.fromkeys(
        ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO", "AWS_CA_BUNDLE", "PIP_CERT"), BUNDLE
    ),
    "NODE_EXTRA_CA_CERTS": AUTHORITY,
}
"""Names of the files, for programs that look there; OpenSSL, curl, Python's requests, git, Node.js."""


def files(certificate: str, bundles: Mapping[str, str]) -> tuple[SessionFile, ...]:
    """What is put into the container of such a session; `bundles` are those of its image, by their paths."""
    believed = {path: f"{content.rstrip()}\n{certificate}" for path, content in bundles.items()}
    first = next(iter(believed.values()), certificate)
    der = base64.b64encode(ssl.PEM_cert_to_DER_cert(certificate)).decode()
    policy = json.dumps({"CACertificates": [der]})
    contents = {**believed, AUTHORITY: certificate, BUNDLE: first, **dict.fromkeys(BROWSER_POLICIES, policy)}
    return tuple(
        SessionFile(path=path, content=content, mode=0o644, folder_mode=0o755, uid=0, gid=0)
        for path, content in contents.items()
    )
