"""The parts of the calls in the examples."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI
from tests.database.api.client import Client

from greenroom.db.database import Database

Json = dict[str, Any]


@dataclass
class Scene:
    """An installation, its callers, and the saved ids: for paths, and for `{name}` in requests."""

    app: FastAPI
    db: Database
    clients: dict[str, Client]
    ids: dict[str, Any]


Hook = Callable[[Scene], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """A refused variant of the same call: by another caller, with other ids, with these changes of body or query, or
    `again` after it was done."""

    by: str = ""
    ids: Json = field(default_factory=dict[str, Any])
    body: Json = field(default_factory=dict[str, Any])
    query: Json = field(default_factory=dict[str, Any])
    again: bool = False


@dataclass(frozen=True, kw_only=True)
class Step:
    """A call of an operation. Without `wrong` the refused variant has an id that does not exist, or no log-in."""

    operation: str
    body: Any = None
    query: Json = field(default_factory=dict[str, Any])
    by: str = "admin"
    saves: tuple[str, ...] = ()
    """The fields of the answer whose ids are saved."""
    before: Hook | None = None
    then: Hook | None = None
    """Run after the refused call."""
    wrong: Wrong | None = None
    headers: dict[str, str] = field(default_factory=dict[str, str])


def step(operation: str, body: Any = None, **fields: Any) -> Step:
    saves = fields.pop("saves", ())
    return Step(operation=operation, body=body, saves=(saves,) if isinstance(saves, str) else saves, **fields)
