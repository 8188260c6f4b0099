"""Sentences about objects, for the pages Today and Why: in parts, so that the names in them are links."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

ObjectKind = Literal[
    "agent",
    "agents",
    "api_key",
    "directory",
    "group",
    "guide",
    "image",
    "launches",
    "log_code",
    "manager",
    "managers",
    "scim_client",
    "service_account",
    "session",
    "setting",
    "sign_on_provider",
    "staging_config",
    "staging_configs",
    "user",
    "webhook",
    "zone",
]
"""The kinds of objects with a page in the console. A plural is the list. The id of a `guide` is its page in docs/howto,
with a section."""
Operation = Literal["open", "enable", "pull", "deliver", "edit", "create"]
"""`open`: open the page of the object. `enable`: enable it. `pull`: let the Agents pull the image again. `deliver`:
deliver the messages of the webhook again. `edit`: open the form of the object. `create`: open the form of a new one."""


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """An object with a page in the console. `id` is empty for a list."""

    kind: ObjectKind
    id: str = ""


@dataclass(frozen=True, slots=True)
class SentencePart:
    """A part of a sentence; `object` is the object that it names."""

    text: str
    object: ObjectRef | None = None


@dataclass(frozen=True, slots=True)
class Help:
    """The action that helps. `title` is the text of the button."""

    title: str
    object: ObjectRef
    operation: Operation = "open"


def names_in(text: str, names: Mapping[str, ObjectRef]) -> tuple[SentencePart, ...]:
    """Return the names that a text contains, with their objects. The console makes links of whole words only."""
    return tuple(SentencePart(name, ref) for name, ref in names.items() if name in text)
