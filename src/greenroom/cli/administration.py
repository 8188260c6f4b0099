"""The commands for administrators: `greenroom NOUN VERB` (CONTRACT, "Command line for administrators")."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import typer

from greenroom.cli import filter_policies, groups, managers, sessions, staging, switches, users
from greenroom.cli.logs import logs_app
from greenroom.cli.nouns import NOUNS
from greenroom.cli.settings import settings_app
from greenroom.cli.verbs import noun_app

_MORE_VERBS: Final[dict[str, Callable[[typer.Typer], None]]] = {
    "managers": managers.register,
    "agents": switches.register_agents,
    "staging": staging.register,
    "sessions": sessions.register,
    "users": users.register,
    "groups": groups.register,
    "keys": switches.register_keys,
    "filter-policies": filter_policies.register,
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
