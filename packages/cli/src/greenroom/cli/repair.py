"""`greenroom doctor --repair` for the deployment at an address.

The command sends the list of objects in Docker on this machine, or in a Kubernetes namespace, to the deployment. The
deployment returns the leftovers: the objects that belong to no session and no Agent. The command removes only these,
with the rights of the account that runs it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from greenroom.cli.client import Client
from greenroom.core.errors import SetupError
from greenroom.core.session.leftovers import MAX_AT_ONCE, Leftover, RuntimeObject, in_removal_order
from greenroom.kit.config import AgentConfig
from greenroom.kit.environment import load_settings
from greenroom.runtimes.registry import find_runtime
from greenroom.up import log
from greenroom.up.doctor import RepairOutcome, remove_leftovers, show_outcomes


def repair_remote(client: Client, *, removes: bool, as_json: bool) -> None:
    """List leftovers, or remove them; exit code 1 if a removable leftover remains.

    GREENROOM_RUNTIME and the related settings of an Agent in the environment define the runtime of the sessions.

    Raises:
        SetupError: the settings cannot be used.
        GreenroomError: the deployment, Docker or the cluster does not respond.
    """
    log.configure_for_command("doctor")
    installation: str = client.get("/diagnostics/installation")["installation_id"]
    outcomes = asyncio.run(_repair(client, installation, removes=removes))
    show_outcomes(outcomes, "greenroom doctor --repair --yes", as_json=as_json)


async def _repair(client: Client, installation: str, *, removes: bool) -> list[RepairOutcome]:
    runtime = load_settings(AgentConfig, agent_dir=Path()).runtime
    async with find_runtime(runtime).installation_objects(installation) as installation_objects:
        leftovers = await asyncio.to_thread(find_leftovers, client, await installation_objects.list())
        return await remove_leftovers(installation_objects, leftovers, removes=removes)


def find_leftovers(client: Client, objects: list[RuntimeObject]) -> list[Leftover]:
    """Ask the deployment for the leftovers among these objects. Raises SetupError: the response contains an object that
    was not in the request."""
    by_ref = {item.ref: item for item in objects}
    parts = [objects[first : first + MAX_AT_ONCE] for first in range(0, len(objects), MAX_AT_ONCE)]
    answers = [client.post("/diagnostics/leftovers", {"things": msgspec.to_builtins(part)}) for part in parts]
    rows = [row for answer in answers for row in answer["leftovers"]]
    if unknown := [row["ref"] for row in rows if row["ref"] not in by_ref]:
        raise SetupError(f"The deployment returned {unknown[0]}, which was not in the request; nothing was removed.")
    return in_removal_order(
        Leftover(item=by_ref[row["ref"]], removed=row["removed"], reason=row["reason"]) for row in rows
    )
