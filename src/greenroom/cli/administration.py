"""The commands for administrators: `greenroom NOUN VERB` (CONTRACT, "Command line for administrators").

The verbs of `filter-policies` beyond those that every noun has are here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from greenroom.cli import access, fleet, sessions, staging
from greenroom.cli.logs import logs_app
from greenroom.cli.nouns import NOUNS
from greenroom.cli.settings import settings_app
from greenroom.cli.verbs import Call, address, command, identity, noun_app

_NOUN: Final = NOUNS["filter-policies"]


def register_filter_policies(app: typer.Typer) -> None:
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


_MORE_VERBS: Final[dict[str, Callable[[typer.Typer], None]]] = {
    "managers": fleet.register_managers,
    "agents": fleet.register_agents,
    "staging": staging.register,
    "sessions": sessions.register,
    "users": access.register_users,
    "groups": access.register_groups,
    "keys": fleet.register_keys,
    "filter-policies": register_filter_policies,
}


def register(app: typer.Typer) -> dict[str, typer.Typer]:
    """Add all nouns to `greenroom`; returns them by name, for further verbs."""
    nouns = {noun.noun: noun_app(noun) for noun in NOUNS.values()}
    for name, add in _MORE_VERBS.items():
        add(nouns[name])
    nouns |= {"logs": logs_app(), "settings": settings_app()}
    for name, commands in nouns.items():
        app.add_typer(commands, name=name)
    return nouns
