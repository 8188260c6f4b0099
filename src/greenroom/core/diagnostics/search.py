"""The search of the console: the words of a query, the order of the hits, and the hits that are in no table.

A hit has all the words of the query in its texts. A hit whose title is or begins with the query comes first, then those
with a word that begins with the query; the other hits follow.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from greenroom.core.access.group_settings import SETTINGS
from greenroom.core.installation import INSTALLATION_SETTINGS
from greenroom.core.log_codes import LogCode

SearchKind = Literal[
    "user",
    "session",
    "staging_config",
    "image",
    "agent",
    "manager",
    "zone",
    "group",
    "service_account",
    "api_key",
    "secret",
    "machine_pool",
    "filter_policy",
    "directory",
    "webhook",
    "setting",
    "group_setting",
    "log_code",
]
KINDS: Final[dict[SearchKind, str]] = {
    "user": "users_view",
    "session": "sessions_view",
    "staging_config": "staging_view",
    "image": "images_view",
    "agent": "agents_view",
    "manager": "managers_view",
    "zone": "zones_view",
    "group": "groups_view",
    "service_account": "devapi_view",
    "api_key": "devapi_view",
    "secret": "secrets_view",
    "machine_pool": "machines_view",
    "filter_policy": "webfilters_view",
    "directory": "settings_view",
    "webhook": "webhooks_view",
    "setting": "settings_view",
    "group_setting": "groups_view",
    "log_code": "system_view",
}
"""The kinds of hits in the order in which equal hits are listed → the permission to see them."""
MAX_WORDS: Final = 8
MAX_OF_KIND: Final = 8
"""The maximum number of hits of one kind."""
MAX_HITS: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """An object that the search found; `note` distinguishes it from others with the same title: "status · zone" of a
    session, an Agent or a Manager."""

    kind: SearchKind
    id: str
    title: str
    note: str = ""


def words_of_query(query: str) -> list[str]:
    """Return the words to find, in lower case; words after the first `MAX_WORDS` are ignored."""
    return query.lower().split()[:MAX_WORDS]


def best(hits: Iterable[Hit], query: str) -> list[Hit]:
    """Return the first `MAX_HITS` hits, the best first, with at most `MAX_OF_KIND` of each kind."""
    kinds, wanted = list(KINDS), " ".join(words_of_query(query))
    ordered = sorted(hits, key=lambda hit: (_rank(hit, wanted), kinds.index(hit.kind), hit.title.lower(), hit.id))
    found: list[Hit] = []
    for hit in ordered:
        if len(found) < MAX_HITS and sum(hit.kind == other.kind for other in found) < MAX_OF_KIND:
            found.append(hit)
    return found


def _rank(hit: Hit, wanted: str) -> int:
    title = hit.title.lower()
    if wanted in (title, hit.id):
        return 0
    if title.startswith(wanted):
        return 1
    words = title.replace("_", " ").replace("-", " ").replace(".", " ").replace("@", " ")
    return 2 if f" {wanted}" in words else 3


def find_settings(kind: Literal["setting", "group_setting"], words: Iterable[str]) -> list[Hit]:
    """Return the settings whose name, title or description has all the words."""
    settings = (INSTALLATION_SETTINGS if kind == "setting" else SETTINGS).values()
    found = ((setting.name, setting.title, setting.description) for setting in settings)
    return _with_words(kind, found, list(words))


def find_log_codes(words: Iterable[str]) -> list[Hit]:
    """Return the codes of the log that have all the words."""
    return _with_words("log_code", ((code.value, code.value, code.level) for code in LogCode), list(words))


def _with_words(kind: SearchKind, rows: Iterable[tuple[str, str, str]], words: list[str]) -> list[Hit]:
    return [
        Hit(kind=kind, id=name, title=title, note=note)
        for name, title, note in rows
        if all(word in f"{name} {name.replace('_', ' ').replace('-', ' ')} {title} {note}".lower() for word in words)
    ]
