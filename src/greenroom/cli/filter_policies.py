"""`filter-policies explain`."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer
from rich.text import Text

from greenroom.cli.calls import Call, command
from greenroom.cli.nouns import NOUNS
from greenroom.cli.verbs import address, identity

_NOUN: Final = NOUNS["filter-policies"]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("explain")(command(explain, [identity(_NOUN)]))


def explain(
    call: Call,
    *,
    host: Annotated[str, typer.Option(metavar="HOST", help="A host name or IP address.")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="Its port.")] = 443,
    **given: Any,
) -> None:
    """May sessions under this policy open this host, and why? Nothing is opened."""
    found = call.client.get(f"{address(call, _NOUN, given['given_id'])}/decision", {"host": host, "port": port})
    if call.output.as_json:
        call.output.json(found)
        return
    call.output.out.print(Text(f"{found['action']}: {found['reason']}"))
