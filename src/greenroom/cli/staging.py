"""`staging recycle` and `staging explain`."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer
from rich.text import Text

from greenroom.cli.calls import Call, command
from greenroom.cli.nouns import NOUNS
from greenroom.cli.output import Column
from greenroom.cli.verbs import address, identity

_NOUN: Final = NOUNS["staging"]
_REASONS: Final = (
    Column("Code", "code"),
    Column("Setting", "setting"),
    Column("Group", "group"),
    Column("Reason", "reason"),
)


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("recycle")(command(recycle, [identity(_NOUN)]))
    app.command("explain")(command(explain, [identity(_NOUN)]))


def recycle(call: Call, **given: Any) -> None:
    """Replace all staged sessions of a config, and try again at once after failed starts."""
    call.output.one(call.client.post(f"{address(call, _NOUN, given['given_id'])}/recycle"))


def explain(
    call: Call, *, user: Annotated[str, typer.Option(metavar="USER", help="The user, by name or id.")], **given: Any
) -> None:
    """Would this user get a session of this config now, and if not, why? Nothing is launched."""
    found = call.client.get(f"{address(call, _NOUN, given['given_id'])}/explain", {"user": user})
    if call.output.as_json:
        call.output.json(found)
        return
    verdict = "would get" if found["would_get"] else "would not get"
    call.output.out.print(Text(f"{found['username']} {verdict} a session of this config now."))
    if found["reasons"]:
        call.output.rows(found["reasons"], _REASONS, "")
