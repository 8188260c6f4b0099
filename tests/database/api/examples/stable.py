"""Replaces the parts of requests and answers that differ between runs or are secret."""

from __future__ import annotations

import math
import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

from greenroom.db.access.users import ALL_USERS

NOW: Final = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
"""The time of everything in the examples."""
LONG: Final = 24
"""The number of entries above which only the end of a list inside an answer is recorded."""
FAR_S: Final = 1000 * 86400
"""Later times were chosen by a caller."""
NAMESPACE: Final = uuid.UUID("5f0ee97a-6c0b-4f2c-9a0e-6d2a51c0be11")
KEPT: Final = frozenset({ALL_USERS})
"""Ids that are the same in each installation."""
UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")
HEX: Final = re.compile(r"\b(?:[0-9a-f]{64}|[0-9a-f]{40})\b")
LINK: Final = re.compile(r"(?<=[#/=.])[A-Za-z0-9_-]{40,}")
"""The secret part of a link, or a random parameter."""
ROUTE: Final = re.compile(r"(?<=/desktop/)[0-9a-f]{8}(?=/)")
"""An Agent, in addresses of streams."""
RECIPE: Final = re.compile(r"(?<=greenroom/)([a-z-]+):[0-9a-f]{12}\b")
"""An image of the catalogue; its tag is the hash of its recipe."""
RECOVERY_CODE: Final = re.compile(r"\b[a-z2-7]{4}(?:-[a-z2-7]{4}){5}\b")
SECRETS: Final = frozenset(
    {
        *("token", "secret", "password", "new_password", "api_key_secret", "session_token", "credential"),
        *("ssh_private_key", "totp_key", "challenge", "rawId", "clientDataJSON", "attestationObject"),
        "viewing",
    }
)
SHOWN: Final = {
    "ssh_public_key": "ssh-ed25519 AAAA… ada@example.org",
    "api_key": "q3zjd7wmxk2b",
    "key_id": "q3zjd7wmxk2b",
    "share_id": "4c1d9e70",
}
"""Texts that differ between installations, and their replacements."""
NUMBER: Final = re.compile(r"\d+(?:\.\d+)?(?:e[+-]\d+)?")
MEASURED: Final = re.compile(r".*_ms|ms|away_s|age_s|wait_s|hit_rate|pictures|pictures_left_out|picture_bytes|number")
"""Numbers that depend on the speed of the calls."""


class Stable:
    """Stores the replacement of each id and secret."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self._new = 0
        self._of = ""

    def of(self, operation: str) -> None:
        """Name ids that are new from here on after this operation."""
        self._of, self._new = operation, 0

    def learn(self, value: Any) -> None:
        """Find the secrets and names in a request or an answer."""
        if isinstance(value, dict):
            for name, part in cast("dict[str, Any]", value).items():
                if isinstance(part, str) and part and name in SECRETS:
                    self.texts[part] = f"<{name}>"
                elif isinstance(part, str) and name in SHOWN:
                    self.texts[part] = SHOWN[name]
                else:
                    self.learn(part)
            if "displayName" in value:
                self.texts[cast("dict[str, str]", value)["id"]] = "<id of the user>"
        elif isinstance(value, list):
            for part in cast("list[Any]", value):
                self.learn(part)

    def value(self, value: Any, name: str = "") -> Any:
        """The recorded form of a value."""
        if isinstance(value, dict):
            fields = cast("dict[str, Any]", value)
            return {self.text(key): self.value(part, key) for key, part in fields.items()}
        if isinstance(value, list):
            parts = cast("list[Any]", value)
            return [self.value(part, name) for part in (parts if len(parts) <= LONG else parts[-3:])]
        if isinstance(value, str):
            return "492039" if name == "code" and value.isdigit() else self.text(value)
        if isinstance(value, float) and MEASURED.fullmatch(name):
            return round(value, 1) if math.isfinite(value) else value
        return value

    def text(self, text: str) -> str:
        for there in sorted(self.texts, key=len, reverse=True):
            text = text.replace(there, self.texts[there])
        text = TIME.sub(self._time, UUID.sub(self._id, text))
        text = ROUTE.sub("d4bb45dc", LINK.sub("<token>", text))
        text = RECOVERY_CODE.sub("mfrg-gzdf-mztw-q2lk-nnwg-23tp", text)
        text = RECIPE.sub(r"\1:4243e05bcbcc", text)
        return HEX.sub(lambda found: ("5b3c9a17e0d2" * 6)[: len(found[0])], text)

    def _id(self, found: re.Match[str]) -> str:
        if found[0] in KEPT or found[0] in self.texts.values():
            return found[0]
        self._new += 1
        made = str(uuid.uuid5(NAMESPACE, f"{self._of} {self._new}"))
        self.texts[found[0]] = made
        return made

    @staticmethod
    def _time(found: re.Match[str]) -> str:
        at = datetime.fromisoformat(found[0])
        if at.date() == NOW.date():
            return found[0]
        away = (at - datetime.now(UTC)).total_seconds()
        if abs(away) > FAR_S:
            return found[0]
        if (at.minute, at.second, at.microsecond) == (0, 0, 0):  # one of each hour
            hours = round((at - datetime.now(UTC).replace(minute=0, second=0)).total_seconds() / 3600)
            return (NOW.replace(minute=0) + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")
        return (NOW + timedelta(minutes=round(away / 60))).strftime("%Y-%m-%dT%H:%M:%SZ")


def kept(old: Any, new: Any, name: str = "") -> Any:
    """`new` with the measurements of `old`, so that a recording changes only where the behavior has changed."""
    if isinstance(old, dict) and isinstance(new, dict):
        before = cast("dict[str, Any]", old)
        return {key: kept(before.get(key), part, key) for key, part in cast("dict[str, Any]", new).items()}
    if isinstance(old, list) and isinstance(new, list):
        parts, others = cast("list[Any]", old), cast("list[Any]", new)
        return (
            [kept(part, its, name) for part, its in zip(parts, others, strict=True)]
            if len(parts) == len(others)
            else new
        )
    if isinstance(old, str) and isinstance(new, str) and name == "reply":
        return old if NUMBER.sub("0", old) == NUMBER.sub("0", new) else new
    are_numbers = isinstance(old, (int, float)) and isinstance(new, (int, float)) and type(old) is not bool
    return old if are_numbers and MEASURED.fullmatch(name) else new


def shape(value: Any) -> Any:
    """The names of fields and the kinds of values; lists have the shapes of their entries, each once."""
    if isinstance(value, dict):
        return {name: shape(part) for name, part in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        shapes: list[Any] = []
        for part in cast("list[Any]", value):
            if (its := shape(part)) not in shapes:
                shapes.append(its)
        return sorted(shapes, key=repr)
    if value is None or isinstance(value, str):
        return "text or null"
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__
