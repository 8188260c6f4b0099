"""Reads the answers of `ldapsearch` (LDIF, RFC 2849), and writes the values of filters (RFC 4515). All functions are
pure.

Names of attributes are compared without case, so a `DirectoryEntry` has them in lower case, without options such as
`;binary`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

_ATTRIBUTE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,199}", re.ASCII)


class LdifInvalid(Exception):  # noqa: N818 -- as the errors of greenroom.core.errors
    """An answer is not LDIF. The message is the cause, as a sentence."""


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """An entry of a directory: its DN, and attribute in lower case → values."""

    dn: str
    values: dict[str, list[bytes]] = field(repr=False)

    def texts(self, attribute: str) -> list[str]:
        """Return the values of an attribute that are UTF-8; none if the attribute is missing."""
        return [text for value in self.values.get(attribute.lower(), []) if (text := _text_of(value)) is not None]


def _text_of(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def parse_entries(answer: bytes) -> list[DirectoryEntry]:
    """Return the entries of an answer; comments and references to other servers are omitted. Raises LdifInvalid: the
    answer is not LDIF, or a value is an address (`<`), which is never read."""
    entries: list[DirectoryEntry] = []
    for block in _blocks(answer):
        (name, first), *rest = [_attribute(line) for line in block]
        if name == "ref":  # another server could continue the search; references are not followed
            continue
        dn = _text_of(first)
        if name != "dn" or dn is None:
            raise LdifInvalid("An entry of the answer does not begin with its DN.")
        entry = DirectoryEntry(dn, {})
        for attribute, value in rest:
            entry.values.setdefault(attribute, []).append(value)
        entries.append(entry)
    return entries


def _blocks(answer: bytes) -> Iterable[list[bytes]]:
    """Yield the lines of each entry, without comments and with continued lines joined."""
    block: list[bytes] = []
    is_comment = False
    for line in [*answer.split(b"\n"), b""]:
        if line.startswith(b" "):
            if block and not is_comment:
                block[-1] += line[1:]
        elif line.startswith(b"#"):
            is_comment = True
        elif line:
            is_comment = False
            block.append(line)
        else:
            is_comment = False
            if block:
                yield block
            block = []


def _attribute(line: bytes) -> tuple[str, bytes]:
    name, colon, value = line.partition(b":")
    if not colon or not name.isascii():
        raise LdifInvalid("A line of the answer has no attribute.")
    attribute = name.decode().partition(";")[0].lower()
    if value.startswith(b"<"):
        raise LdifInvalid(f"The attribute {attribute} of the answer refers to an address.")
    if not value.startswith(b":"):
        return attribute, value.removeprefix(b" ")
    try:
        return attribute, base64.b64decode(value[1:].strip(), validate=True)
    except binascii.Error as error:
        raise LdifInvalid(f"The attribute {attribute} of the answer is not base64.") from error


_PLAIN: Final = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.@ ,=+'")


def filter_value(value: str | bytes) -> str:
    r"""Return a value for a filter. All characters except letters, digits and some signs become `\xx`, so that a value
    never changes the meaning of the filter."""
    octets = value.encode() if isinstance(value, str) else value
    return "".join(chr(octet) if octet in _PLAIN else f"\\{octet:02x}" for octet in octets)


def equals(attribute: str, value: str | bytes) -> str:
    """Return the filter for entries whose attribute has the value."""
    return f"({attribute}={filter_value(value)})"


def any_of(filters: Iterable[str]) -> str:
    """Return the filter for entries that match one of the filters."""
    return f"(|{''.join(filters)})"


def all_of(*filters: str) -> str:
    """Return the filter for entries that match all filters."""
    return f"(&{''.join(filters)})"


def filter_problem(text: str) -> str | None:
    """Return the reason why a text cannot be a filter, as a sentence; None if its parentheses match. The directory
    checks the rest."""
    depth = 0
    for position, character in enumerate(text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth == 0 and position < len(text) - 1:
            return f"{text} is not one filter; write it in parentheses, such as (objectClass=person)."
    if not text.startswith("(") or depth != 0 or len(text) < 3 or not text.isprintable():
        return f"{text} is not a filter; write one such as (objectClass=person)."
    return None


def attribute_problem(name: str) -> str | None:
    """Return the reason why a text cannot be the name of an attribute, as a sentence; None if it can."""
    if _ATTRIBUTE_NAME.fullmatch(name):
        return None
    return f"{name} is not the name of an attribute, such as departmentNumber: letters, digits, - and dots."


def normal_dn(dn: str) -> str:
    """Return a DN for comparisons within one directory, which ignore case."""
    return dn.strip().casefold()
