"""The tools, in the order in which they are listed."""

from __future__ import annotations

import json
from typing import Any, Final

import httpx
import msgspec
from msgspec.structs import fields

from greenroom.api.bodies import Json, View
from greenroom.api.desk.schemas import ActionsCreate, ActionsDone
from greenroom.api.lease.schemas import LeaseCreate, LeaseExtension, LeaseGranted, LeaseView
from greenroom.api.mcp.inside_tools import INSIDE_TOOLS
from greenroom.api.mcp.requests import Asked
from greenroom.api.mcp.tool import Shown, Tool, as_base64, as_json, schema_of
from greenroom.core.actions import computer
from greenroom.core.actions.dialects import VERBS

WAIT_S: Final = 60
"""A leased desktop is answered when it runs, or after this."""
LISTED: Final = 100
"""Leases in a list."""


class _Leases(View):
    leases: list[LeaseView]


def _leases(answer: httpx.Response) -> Shown:
    listed = {"leases": answer.json()}
    return Shown(json.dumps(listed, ensure_ascii=False), listed)


def _released(_: httpx.Response) -> Shown:
    return Shown("The lease has ended; its session is destroyed.", {"released": True})


def screen_of(lease_id: str, query: Json | None = None) -> Asked:
    """The request for the screen of a lease."""
    return Asked(method="GET", path=f"/leases/{lease_id}/screenshot", query=query)


def _picture(answer: httpx.Response) -> Shown:
    return Shown(pictures=(as_base64(answer.content),))


def _done(answer: httpx.Response) -> Shown:
    """What became of actions; their pictures as pictures, in the order in which they were taken."""
    said = answer.json()
    parts = [*said["results"], said]
    pictures = tuple(png for part in parts if (png := part.pop("screenshot", None)))
    results = {
        "results": [{name: value for name, value in one.items() if value is not None} for one in said["results"]]
    }
    return Shown(json.dumps(results, ensure_ascii=False), results, pictures)


def _actions() -> Json:
    """The schema of the body of actions, with the fields that one may have."""
    schema = schema_of(ActionsCreate)
    known: dict[str, Json] = {}
    for verb in msgspec.json.schema_components([computer.Verb])[1].values():
        known = {name: _plain(field) for name, field in verb["properties"].items()} | known
    named = {"type": "string", "enum": list(VERBS["action"]), "description": "; ".join(map(_usage, _VERBS))}
    schema["properties"]["actions"] = {
        "type": "array",
        "description": "what to do, in this order; a `ref` from `elements` may stand where a `coordinate` would",
        "items": {"type": "object", "properties": {**known, "action": named}, "required": ["action"]},
    }
    return schema


def _plain(schema: Json) -> Json:
    """A field without null, which is left out instead, and lists by one schema of their items: some models' interfaces
    take no more."""
    chosen: Json = next(one for one in schema.get("anyOf", [schema]) if one.get("type") != "null")
    places = chosen.get("prefixItems")
    kept = {name: value for name, value in chosen.items() if name != "prefixItems"}
    return kept | {"items": places[0]} if places else kept


_VERBS: Final[tuple[Any, ...]] = computer.Verb.__args__


def _usage(verb: Any) -> str:
    given = [one.name if one.required else f"{one.name}?" for one in fields(verb)]
    return f"{verb.__struct_config__.tag}({', '.join(given)})"


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
        arguments=schema_of(LeaseCreate, wait_s=WAIT_S),
        answers=schema_of(LeaseGranted),
        of_lease=False,
    ),
    Tool(
        name="list_leases",
        title="List leases",
        description=f"The newest {LISTED} leases that the caller may see, and how their sessions are.",
        request=lambda _, given: Asked(method="GET", path="/leases", query={"limit": LISTED, **given}),
        shown=_leases,
        answers=schema_of(_Leases),
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
        arguments=schema_of(LeaseExtension),
        answers=schema_of(LeaseView),
    ),
    Tool(
        name="release",
        title="End a lease",
        description="End a lease: its session is destroyed, with everything in it. Doing so again is a success.",
        request=lambda lease_id, _: Asked(method="DELETE", path=f"/leases/{lease_id}"),
        shown=_released,
        answers={"type": "object", "properties": {"released": {"type": "boolean"}}, "required": ["released"]},
        destroys=True,
    ),
    Tool(
        name="screenshot",
        title="Look at the screen",
        description="A picture of the screen, or of a part of it. Coordinates of actions are its pixels.",
        request=screen_of,
        shown=_picture,
        arguments={
            "properties": {
                "region": {"type": "string", "description": "x1,y1,x2,y2; the second corner is outside"},
                "width": {"type": "integer", "description": "pixels; with one of both the picture keeps its shape"},
                "height": {"type": "integer", "description": "pixels"},
                "cursor": {"type": "boolean", "default": True, "description": "with the pointer"},
            }
        },
        reads=True,
    ),
    Tool(
        name="act",
        title="Use mouse, keyboard and clipboard",
        description=(
            "Do actions on the desktop, in their order until one fails; with `screenshot` the answer ends with a"
            " picture. Give several at once where what comes is known: a click, a text, a key."
        ),
        request=lambda lease_id, given: Asked(method="POST", path=f"/leases/{lease_id}/actions", json=given),
        shown=_done,
        arguments=_actions(),
        answers=schema_of(ActionsDone),
    ),
    *INSIDE_TOOLS,
)


def tools_for(own_lease_id: str | None) -> dict[str, Tool]:
    """The tools of a caller by name: the token of a lease is for that lease alone."""
    return {tool.name: tool for tool in TOOLS if tool.of_lease or own_lease_id is None}
