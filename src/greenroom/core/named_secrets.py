"""Named secrets that the web filter of a lease adds to requests: their hosts, headers and permitted users.

This module also creates the files with which programs in a session trust the certificates of the web filter.

A host is an exact name, or `.example.com` for each host directly below example.com, like `*.example.com` in a
certificate. Secrets are added only to requests by https at port 443. The configuration of Squid
(`agent/web_filter/templates`) must agree with `applies_to`.

The filter intercepts the connections to the hosts of the secrets and presents a certificate of its own authority, which
exists for one session only. Programs read the certificate of this authority from a file, Chromium from its policies.
"""

from __future__ import annotations

import base64
import json
import re
import ssl
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import combinations
from typing import TYPE_CHECKING, Final

from greenroom.core.errors import Invalid
from greenroom.core.web_filter import FilterPolicy, address_in, decision, normal_domain, quoted_excerpt
from greenroom.core.workspace.session_spec import SessionFile

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList


PLACEHOLDER: Final = "{secret}"
"""The placeholder of the secret in a template."""
MAX_HOSTS: Final = 20
MAX_SECRETS: Final = 20
"""Maximum number of secrets of one lease."""
MAX_HEADER: Final = 1800
"""Maximum characters of a header's value in the configuration of Squid, which cannot read longer values."""

_HEADER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_CONNECTION_HEADERS: Final = frozenset(
    [
        *("connection", "content-length", "expect", "host", "keep-alive"),
        *("te", "trailer", "transfer-encoding", "upgrade", "via"),
    ]
)
"""Headers of the connection, which the filter controls."""
_SQUID_HEADER_GROUPS: Final = frozenset({"all", "other"})
"""Names that Squid interprets as more than one header."""
_UNSUITABLE_HEADERS: Final = frozenset({"accept-encoding", "cookie", "max-forwards", "range", "referer"})
"""Headers that sites log, store or forward, or that change the format of the response."""
_PRINTABLE: Final = re.compile(r"[ -~]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterSecret:
    """A secret that the web filter of a lease adds to requests: requests to `hosts` get the `header` with this `value`,
    which replaces a header of the same name.
    """

    name: str
    hosts: tuple[str, ...]
    header: str
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretUsers:
    """The permitted users of a secret: its owner, and these users, groups and API keys."""

    owner_id: str | None = None
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()

    def include(self, *, user_id: str | None, key_id: str | None, groups: Collection[str]) -> bool:
        """True if a caller is permitted: as the user or the owner of an API key, by this key, or by one of `groups`."""
        if user_id is not None and user_id in (self.owner_id, *self.users):
            return True
        return key_id in self.keys or not set(groups).isdisjoint(self.groups)


def validated_host(text: str) -> str:
    """Return the stored form of a secret's host. Raises Invalid: it is not a host; the message has the correct form."""
    name = text.strip()
    if "*" in name:
        parent = name.removeprefix("*.") if name.startswith("*.") and "*" not in name[2:] else "example.com"
        raise Invalid(f"{quoted_excerpt(text)} has a wildcard; write .{parent} for each host directly below {parent}.")
    if address_in(name):
        raise Invalid(f"{quoted_excerpt(text)} is an IP address; a secret goes only to hosts with names.")
    if "://" in name or "/" in name or ":" in name:
        raise Invalid(
            f"{quoted_excerpt(text)} is an address; write only the host, like api.example.com. The protocol is https, "
            "the port 443."
        )
    is_wildcard = name.startswith(".")
    stored_name = normal_domain(name.removeprefix("."))
    if "." not in stored_name:
        raise Invalid(f"{quoted_excerpt(text)} has no dot; write a full name, like api.example.com.")
    if _public_suffixes().is_public(stored_name):
        raise Invalid(
            f"{quoted_excerpt(text)} is a public suffix, with hosts of many owners below it; write one of these hosts."
        )
    return f".{stored_name}" if is_wildcard else stored_name


@cache
def _public_suffixes() -> PublicSuffixList:
    """Return the Public Suffix List, including the suffixes that companies registered, such as github.io."""
    from publicsuffixlist import PublicSuffixList  # noqa: PLC0415 -- only the api checks hosts

    return PublicSuffixList()


def validated_hosts(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the stored form of the hosts: unique and sorted. Raises Invalid: one is not a host, or there are none or
    too many.
    """
    if not 0 < len(texts) <= MAX_HOSTS:
        raise Invalid(f"A secret needs 1 to {MAX_HOSTS} hosts, not {len(texts)}.")
    return tuple(sorted({validated_host(text) for text in texts}))


def validated_header(text: str) -> str:
    """Return `text` if it is the name of a header that may contain a secret. Raises Invalid: it is not; the message has
    the reason.
    """
    if not _HEADER.fullmatch(text):
        raise Invalid(f"{quoted_excerpt(text)} is not the name of a header; write one like Authorization or x-api-key.")
    lower = text.lower()
    if lower in _CONNECTION_HEADERS or lower.startswith("proxy-"):
        raise Invalid(f"{text} controls the connection and is set by the web filter; it cannot contain a secret.")
    if lower in _SQUID_HEADER_GROUPS:
        raise Invalid(
            f"{text} cannot be the header of a secret, because the web filter uses this word for a group of headers;"
            " write the name of one header, like Authorization or x-api-key."
        )
    if lower in _UNSUITABLE_HEADERS:
        raise Invalid(f"{text} is not a header for a secret; write one like Authorization or x-api-key.")
    return text


def validated_template(text: str) -> str:
    """Return `text` if it is a template of a header's value, with `{secret}` for the secret. Raises Invalid: it does
    not contain `{secret}` exactly once, or cannot be in a header."""
    if text.count(PLACEHOLDER) != 1:
        raise Invalid(f"A template must contain {PLACEHOLDER} once, like Bearer {PLACEHOLDER}.")
    _require_printable(text, "The template")
    return text


def header_value(template_text: str, secret: str) -> str:
    """Return the value of the header: the template with the secret inserted. Raises Invalid: the secret cannot be in a
    header. The message does not contain the secret."""
    if not secret or secret != secret.strip():
        raise Invalid("The value is empty, or begins or ends with a space or an end of line.")
    _require_printable(secret, "The value")
    value = template_text.replace(PLACEHOLDER, secret)
    if len(quoted(value)) > MAX_HEADER:
        raise Invalid(f"The value is too long: the header may have at most {MAX_HEADER} characters with the template.")
    return value


def _require_printable(text: str, noun: str) -> None:
    if not _PRINTABLE.fullmatch(text):
        raise Invalid(f"{noun} has a control character or a character outside of ASCII, which a header cannot contain.")


def quoted(value: str) -> str:
    """Return the value of a header in the syntax of Squid's configuration."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def applies_to(secret_hosts: Iterable[str], name: str) -> bool:
    """True if requests to the host with this name, by https at port 443, get the secret."""
    lower = name.lower()
    return any(
        lower == secret_host or (secret_host.startswith(".") and lower.partition(".")[2] == secret_host[1:])
        for secret_host in secret_hosts
    )


def names_of_certificate(secrets: Iterable[FilterSecret]) -> list[str]:
    """Return the names in a filter's certificate, for the hosts whose connections it intercepts."""
    return sorted(
        {
            f"*{secret_host}" if secret_host.startswith(".") else secret_host
            for secret in secrets
            for secret_host in secret.hosts
        }
    )


def _overlap(host_name: str, other_name: str) -> bool:
    return host_name == other_name or applies_to((host_name,), other_name) or applies_to((other_name,), host_name)


def require_distinct(secrets: Sequence[FilterSecret]) -> None:
    """Refuse two secrets that set the same header of one request. Raises Invalid: there are two; the message names
    both.
    """
    for secret, other_secret in combinations(secrets, 2):
        has_same_header = secret.header.lower() == other_secret.header.lower()
        if has_same_header and any(_overlap(a, b) for a in secret.hosts for b in other_secret.hosts):
            raise Invalid(
                f"The secrets {secret.name} and {other_secret.name} use the same header {secret.header} for one host."
            )


def require_reachable_hosts(policy: FilterPolicy, name: str, secret_hosts: Iterable[str]) -> None:
    """Refuse a secret for a host that the lease cannot reach. Raises Invalid: `policy` denies one of the hosts."""
    for secret_host in secret_hosts:
        if decision(policy, secret_host.removeprefix(".")).action == "deny":
            raise Invalid(
                f"The secret {name} goes to {secret_host}, which the lease cannot reach; add it to options.egress."
            )


AUTHORITY_FILE: Final = "/etc/greenroom/filter-authority.pem"
COMBINED_BUNDLE: Final = "/etc/greenroom/ca-certificates.crt"
"""The file with the authorities that the image trusts, followed by the authority of the filter."""
IMAGE_BUNDLES: Final = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
"""Files of trusted authorities: the first in images of Debian, Ubuntu, Alpine, Arch; the second of Fedora and RHEL."""
BROWSER_POLICIES: Final = (
    "/etc/chromium/policies/managed/greenroom-filter.json",
    "/etc/opt/chrome/policies/managed/greenroom-filter.json",
)

TRUST_VARIABLES: Final = {
    **dict.fromkeys(
        ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO", "AWS_CA_BUNDLE", "PIP_CERT"),
        COMBINED_BUNDLE,
    ),
    "NODE_EXTRA_CA_CERTS": AUTHORITY_FILE,
}
"""Environment variables with the paths of these files: for OpenSSL, curl, requests, git, AWS CLI, pip and Node.js."""


def trust_files(certificate: str, bundles: Mapping[str, str]) -> tuple[SessionFile, ...]:
    """Return the files for the container of a session with secrets. `certificate` is that of the filter's authority
    (PEM). `bundles` maps the paths of the image's files of trusted authorities to their contents.
    """
    bundle_files = {path: f"{content.rstrip()}\n{certificate}" for path, content in bundles.items()}
    default_bundle = next(iter(bundle_files.values()), certificate)
    der = base64.b64encode(ssl.PEM_cert_to_DER_cert(certificate)).decode()
    policy = json.dumps({"CACertificates": [der]})
    contents = {
        **bundle_files,
        AUTHORITY_FILE: certificate,
        COMBINED_BUNDLE: default_bundle,
        **dict.fromkeys(BROWSER_POLICIES, policy),
    }
    return tuple(
        SessionFile(path=path, content=content, mode=0o644, folder_mode=0o755, uid=0, gid=0)
        for path, content in contents.items()
    )
