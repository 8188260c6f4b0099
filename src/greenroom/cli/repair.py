"""`greenroom doctor --repair` for a deployment elsewhere.

Its interface says which of the things found in this machine's Docker, or in a namespace, belong to nothing. Those are
removed with the rights of who runs the command, and nothing that was not found here.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from greenroom.cli.client import Client
from greenroom.core.errors import SetupError
from greenroom.core.session.leftovers import MAX_AT_ONCE, Leftover, Thing, in_order
from greenroom.kit import log
from greenroom.kit.config import AgentConfig
from greenroom.kit.environment import load
from greenroom.runtimes.registry import find_runtime
from greenroom.up.doctor import RepairOutcome, repaired, show


def repair_elsewhere(client: Client, *, removes: bool, as_json: bool) -> None:
    """List what is left over, or remove it; exit code 1 if something that can be removed is still there.

    Where sessions run say the settings of an Agent in the environment: GREENROOM_RUNTIME and what belongs to it.

    Raises:
        SetupError: those settings cannot be used.
        GreenroomError: the deployment, Docker or the cluster does not answer.
    """
    log.for_commands("doctor")
    installation: str = client.get("/diagnostics/installation")["installation_id"]
    outcomes = asyncio.run(_repair(client, installation, removes=removes))
    show(outcomes, "greenroom doctor --repair --yes", as_json=as_json)


async def _repair(client: Client, installation: str, *, removes: bool) -> list[RepairOutcome]:
    runtime = load(AgentConfig, agent_dir=Path()).runtime
    async with find_runtime(runtime).things(installation) as things:
        found = await asyncio.to_thread(judged, client, await things.list())
        return await repaired(things, found, removes=removes)


def judged(client: Client, things: list[Thing]) -> list[Leftover]:
    """What of these belongs to nothing, as the deployment says.

    Raises:
        SetupError: it names something else.
    """
    by_ref = {thing.ref: thing for thing in things}
    parts = [things[first : first + MAX_AT_ONCE] for first in range(0, len(things), MAX_AT_ONCE)]
    answers = [client.post("/diagnostics/leftovers", {"things": msgspec.to_builtins(part)}) for part in parts]
    rows = [row for answer in answers for row in answer["leftovers"]]
    if strange := [row["ref"] for row in rows if row["ref"] not in by_ref]:
        raise SetupError(f"The deployment names {strange[0]}, which it was not asked about; nothing was removed.")
    return in_order(Leftover(thing=by_ref[row["ref"]], removed=row["removed"], reason=row["reason"]) for row in rows)
