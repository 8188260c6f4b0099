"""The tools: which request to `/api/v1` each is, and what of its answer is shown. This knows no protocol library."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast
from uuid import UUID

import httpx

from greenroom.api.bodies import Body, Json
from greenroom.api.lease.schemas import LeaseCreate, LeaseExtension
from greenroom.api.mcp.requests import Asked
from greenroom.core.errors import Invalid

LEASE_ID: Final = "lease_id"
WAIT_S: Final = 60
"""A leased desktop is answered when it runs, or after this."""
LISTED: Final = 100
"""Leases in a list."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a caller is shown: a sentence or JSON, the same as an object, and pictures (PNG)."""

    text: str = ""
    structured: Json | None = None
    pictures: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One tool. `arguments` is the JSON Schema of an object; tools `of_lease` have `lease_id` beside it."""

    name: str
    title: str
    description: str
    request: Callable[[str, Json], Asked]
    shown: Callable[[httpx.Response], Shown]
    arguments: Mapping[str, Any] = field(default_factory=lambda: {"properties": {}})
    of_lease: bool = True
    reads: bool = False
    destroys: bool = False

    def schema(self, *, by_token: bool) -> Json:
        """The JSON Schema of all arguments. With a lease's own token `lease_id` may be left out."""
        properties: Json = dict(self.arguments["properties"])
        required = list(self.arguments.get("required", ()))
        if self.of_lease:
            words = "the lease; it may be left out, as the token is that of one lease" if by_token else "from `lease`"
            properties = {LEASE_ID: {"type": "string", "format": "uuid", "description": words}, **properties}
            required = required if by_token else [LEASE_ID, *required]
        rest = {name: self.arguments[name] for name in ("$defs",) if name in self.arguments}
        schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
        return schema | rest

    def asked(self, given: Json, own_lease_id: str | None) -> Asked:
        """The request of a call. `own_lease_id` is the lease of the caller's token.

        Raises:
            Invalid: an argument has no meaning here, or is missing.
        """
        schema = self.schema(by_token=own_lease_id is not None)
        known = schema["properties"]
        if unknown := sorted(given.keys() - known.keys()):
            has = f"it has {', '.join(known)}" if known else "it has none"
            raise Invalid(f"The tool {self.name} has no argument {', '.join(unknown)}; {has}.")
        if missing := [name for name in schema["required"] if name not in given]:
            raise Invalid(f"The tool {self.name} needs {', '.join(missing)}.")
        rest = {name: value for name, value in given.items() if name != LEASE_ID or not self.of_lease}
        lease_id = _lease_id(given.get(LEASE_ID, own_lease_id)) if self.of_lease else ""
        return self.request(lease_id, rest)


def _lease_id(given: object) -> str:
    """Only an id becomes part of an address."""
    try:
        return str(UUID(cast("str", given)))
    except (ValueError, AttributeError, TypeError) as error:
        raise Invalid(f"{str(given)[:60]!r} is not the id of a lease; `list_leases` has them.") from error


def _schema_of(body: type[Body], **defaults: object) -> Json:
    """The schema of a route's body, with some other defaults."""
    schema = body.model_json_schema()
    for name, value in defaults.items():
        schema["properties"][name] |= {"default": value}
    return schema


def as_json(answer: httpx.Response) -> Shown:
    """The JSON object of a route."""
    return Shown(answer.text, answer.json())


def _leases(answer: httpx.Response) -> Shown:
    listed = {"leases": answer.json()}
    return Shown(json.dumps(listed, ensure_ascii=False), listed)


def picture(answer: httpx.Response) -> Shown:
    """A screen."""
    return Shown(pictures=(answer.content,))


def _released(_: httpx.Response) -> Shown:
    return Shown("The lease has ended; its session is destroyed.", {"released": True})


def screen_of(lease_id: str, query: Json | None = None) -> Asked:
    """The request for the screen of a lease."""
    return Asked(method="GET", path=f"/leases/{lease_id}/screenshot", query=query)


LEASES: Final = Asked(method="GET", path="/leases", query={"limit": LISTED})

TOOLS: Final = (
    Tool(
        name="lease",
        title="Lease a desktop or browser",
        description=(
            "Get a desktop, browser or application of your own, until a deadline. The answer has the lease_id that the"
            " other tools need, and addresses for browsers' DevTools, WebDriver and people. Release it when done."
        ),
        request=lambda _, given: Asked(method="POST", path="/leases", json={"wait_s": WAIT_S, **given}),
        shown=as_json,
        arguments=_schema_of(LeaseCreate, wait_s=WAIT_S),
        of_lease=False,
    ),
    Tool(
        name="list_leases",
        title="List leases",
        description=f"The newest {LISTED} leases that the caller may see, and how their sessions are.",
        request=lambda _, given: Asked(method="GET", path="/leases", query={"limit": LISTED, **given}),
        shown=_leases,
        arguments={
            "properties": {
                "tag": {"type": "string", "description": "only those with this word, or name=word, in their tags"},
                "ended": {"type": "boolean", "default": False, "description": "also those that are over"},
            }
        },
        of_lease=False,
        reads=True,
    ),
    Tool(
        name="extend",
        title="Move a lease's deadline",
        description="Move the deadline to so many seconds from now, which may also be earlier than it was.",
        request=lambda lease_id, given: Asked(method="PATCH", path=f"/leases/{lease_id}", json=given),
        shown=as_json,
        arguments=_schema_of(LeaseExtension),
    ),
    Tool(
        name="release",
        title="End a lease",
        description="End a lease: its session is destroyed, with everything in it. Doing so again is a success.",
        request=lambda lease_id, _: Asked(method="DELETE", path=f"/leases/{lease_id}"),
        shown=_released,
        destroys=True,
    ),
)


def tools_for(own_lease_id: str | None) -> dict[str, Tool]:
    """The tools of a caller by name: the token of a lease is for that lease alone."""
    return {tool.name: tool for tool in TOOLS if tool.of_lease or own_lease_id is None}
