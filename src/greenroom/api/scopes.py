"""Scopes of routes: how a route finds the places of its object, so that codes of roles with a scope can count there.

    @router.get("/agents/{agent_id}", dependencies=[requires("agents_view", scope=OF_AGENT)])

A code that the caller has only in the scope of a role counts on a route with a `scope`, and only for an object in this
scope. On every other route, the caller lacks the code. A route with `LISTED` accepts the code in any scope; it must
return only objects of `Caller.ids_in_scope`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, cast
from uuid import UUID

from fastapi import Request

from greenroom.core.access.permissions import allows
from greenroom.core.access.roles import codes_in, codes_in_every, place, places_with
from greenroom.db.access.places import Kind, places_of
from greenroom.db.access.users import ALL_USERS
from greenroom.db.database import Database
from greenroom.db.fleet.managers import find_manager
from greenroom.db.fleet.views import find_agents

_EVERYBODY: Final = place("group", ALL_USERS)


@dataclass(frozen=True, slots=True)
class ListScope:
    """The scope of a list: the route accepts a code in any place, and filters the rows."""


LISTED: Final = ListScope()


@dataclass(frozen=True, slots=True)
class CountedCodes:
    """The codes that count for an object because of a scope. `hidden`: the noun of the object if the caller may not see
    it; otherwise empty. `hint`: why a code that the caller has in a scope does not count, as a sentence."""

    codes: frozenset[str] = frozenset()
    hidden: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class ObjectScope:
    """The scope of a route about one object. `find` returns its places. `view_code` is the code to see the object:
    without it, the answer is that the object does not exist. `every`: all places must be in the scope."""

    noun: str
    view_code: str
    find: Callable[[Request], Awaitable[frozenset[str]]]
    every: bool = False

    async def count(self, request: Request, held: frozenset[str], codes: Iterable[str]) -> CountedCodes:
        """Return those of `codes` that count for the object of the request because of a scope."""
        scoped = frozenset(code for code in codes if places_with(held, code))
        if not scoped:
            return CountedCodes()
        places = await self.find(request)
        counted = codes_in_every(held, places - {_EVERYBODY} or places) if self.every else codes_in(held, places)
        is_visible = allows(held | codes_in(held, places), (self.view_code,))
        hint = f"The scope of your role must contain all groups of the {self.noun}." if self.every else ""
        return CountedCodes(scoped & counted, "" if is_visible else self.noun, hint)


def _by_path(kind: Kind, parameter: str) -> Callable[[Request], Awaitable[frozenset[str]]]:
    async def find(request: Request) -> frozenset[str]:
        object_id = _normal_id(request.path_params[parameter])
        return await places_of(request.app.state.db, kind, object_id) if object_id else frozenset()

    return find


def _normal_id(text: object) -> str:
    """Return an id in the form in which PostgreSQL shows it; empty if it is not an id."""
    try:
        return str(UUID(str(text)))
    except ValueError:
        return ""


async def _places_of_agent(request: Request) -> frozenset[str]:
    db: Database = request.app.state.db
    agent_ids = await find_agents(db, request.path_params["agent_id"].replace("\0", ""))
    return await places_of(db, "agent", agent_ids[0]) if len(agent_ids) == 1 else frozenset()


async def _places_of_manager(request: Request) -> frozenset[str]:
    db: Database = request.app.state.db
    manager_id = await find_manager(db, request.path_params["manager_id"].replace("\0", ""))
    return await places_of(db, "manager", manager_id) if manager_id else frozenset()


async def _places_of_new_config(request: Request) -> frozenset[str]:
    body: Any = await request.json()
    zone_id = _normal_id(cast("dict[str, Any]", body).get("zone_id")) if isinstance(body, dict) else ""
    return frozenset({place("zone", zone_id)}) if zone_id else frozenset()


OF_ZONE: Final = ObjectScope("zone", "zones_view", _by_path("zone", "zone_id"))
OF_AGENT: Final = ObjectScope("Agent", "agents_view", _places_of_agent)
OF_MANAGER: Final = ObjectScope("Manager", "managers_view", _places_of_manager)
OF_GATEWAY: Final = ObjectScope("gateway", "agents_view", _by_path("gateway", "gateway_id"))
OF_STAGING_CONFIG: Final = ObjectScope(
    "staging config", "staging_view", _by_path("staging config", "staging_config_id")
)
OF_NEW_STAGING_CONFIG: Final = ObjectScope("zone", "zones_view", _places_of_new_config)
OF_GROUP: Final = ObjectScope("group", "groups_view", _by_path("group", "group_id"))
OF_USER: Final = ObjectScope("user", "users_view", _by_path("user", "user_id"))
OF_CHANGED_USER: Final = ObjectScope("user", "users_view", _by_path("user", "user_id"), every=True)
"""A change of a user. All groups of the user must be in the scope, except All Users: the other groups can give access
to workspaces and secrets, and a caller who sets the password gets this access."""
