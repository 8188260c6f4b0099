"""`greenroom doctor --repair`: what is left over in Docker or the namespace is listed and, if asked, removed."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from greenroom.core.errors import GreenroomError
from greenroom.core.session.leftovers import Leftover, plan
from greenroom.db.database import Database
from greenroom.db.diagnostics.views import read_known
from greenroom.db.installation import installation_id
from greenroom.kit import log
from greenroom.kit.terminal import console
from greenroom.runtimes.contract import Things
from greenroom.runtimes.registry import find_runtime
from greenroom.up.doctor import database_to_check
from greenroom.up.layout import Layout, running_layout

Became = Literal["removed", "would be removed", "left", "not removed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a leftover, and why, as a sentence."""

    thing: str
    became: Became
    reason: str


async def leftovers(db: Database, things: Things) -> list[Leftover]:
    """What belongs to nothing; without the database or the runtime nothing is concluded.

    Raises:
        GreenroomError: one of them does not answer.
    """
    found = await things.list()
    return plan(found, await read_known(db, found))


async def repaired(things: Things, found: Sequence[Leftover], *, removes: bool) -> list[Outcome]:
    """Remove what may be removed, one after the other; one that fails holds up no other."""
    outcomes: list[Outcome] = []
    for leftover in found:
        became: Became = "would be removed" if leftover.removed else "left"
        reason = leftover.reason
        if leftover.removed and removes:
            try:
                await things.remove(leftover.thing)
                became = "removed"
            except GreenroomError as error:
                became, reason = "not removed", error.message.rstrip(".")
        outcomes.append(Outcome(thing=leftover.thing.named, became=became, reason=reason))
    return outcomes


def show_repair(data: Path, *, removes: bool, as_json: bool) -> None:
    """List what is left over, or remove it; exit code 1 if something that can be removed is still there.

    Raises:
        SetupError: the instance does not run, or nothing can be decided.
    """
    log.for_commands("doctor")
    outcomes = asyncio.run(_repair(running_layout(data), removes=removes))
    show(outcomes, f"greenroom doctor --repair --yes --data {shlex.quote(str(data))}", as_json=as_json)


def show(outcomes: Sequence[Outcome], remove: str, *, as_json: bool) -> None:
    """Print what became of each; `remove` is the command that removes it. Exit code 1 as in `show_repair`."""
    if as_json:
        shown = [{"thing": one.thing, "became": one.became, "reason": one.reason} for one in outcomes]
        print(json.dumps(shown))  # noqa: T201 -- the command's result
    else:
        _show_lines(outcomes, remove)
    if any(one.became in {"would be removed", "not removed"} for one in outcomes):
        raise SystemExit(1)


def _show_lines(outcomes: Sequence[Outcome], remove: str) -> None:
    out = console(soft_wrap=True)
    for one in outcomes:
        out.print(f"{one.became}: {one.thing}: {one.reason}.", markup=False)
    if not outcomes:
        out.print("Nothing is left over.")
    elif any(one.became == "would be removed" for one in outcomes):
        out.print(f"Nothing was changed. To remove it: {remove}", markup=False)


async def _repair(layout: Layout, *, removes: bool) -> list[Outcome]:
    async with (
        database_to_check(layout) as (db, site),
        find_runtime(site.settings.runtime).things(await installation_id(db)) as things,
    ):
        return await repaired(things, await leftovers(db, things), removes=removes)
