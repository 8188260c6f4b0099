"""Members and workspaces of a group, one at a time: `groups add-user|remove-user|add-image|remove-image`."""

from __future__ import annotations

import inspect
from typing import Annotated, Any, Final

import typer

from greenroom.cli.calls import Call, command
from greenroom.cli.lookup import find_id
from greenroom.cli.nouns import NOUNS
from greenroom.cli.verbs import address, identity

_TEXTS: Final = {
    ("add", "user"): "Make a user a member of a group.",
    ("remove", "user"): "End a user's membership of a group.",
    ("add", "image"): "Let the members of a group use a workspace.",
    ("remove", "image"): "Let the members of a group no longer use a workspace through it.",
}


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    for (verb, part), text in _TEXTS.items():
        _add(app, verb, part, text)


def _add(app: typer.Typer, verb: str, part: str, text: str) -> None:
    noun = NOUNS[f"{part}s"]

    def change(call: Call, **given: Any) -> None:
        group = address(call, NOUNS["groups"], given["given_id"])
        path = f"{group}/{noun.noun}/{find_id(call.client, noun, given['member'])}"
        if verb == "add":
            call.client.put(path)
        else:
            call.client.delete(path)
        call.one(call.client.get(group))

    change.__doc__ = text
    member = inspect.Parameter(
        "member",
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[
            str, typer.Argument(metavar=part.upper(), help=f"The {noun.what}, by name or id.", show_default=False)
        ],
    )
    app.command(f"{verb}-{part}")(command(change, [identity(NOUNS["groups"]), member]))
