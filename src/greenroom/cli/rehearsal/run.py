"""A rehearsal from its users to its result: what it makes is its own, and is deleted in any case."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from greenroom.cli.client import ApiError, Client, Row
from greenroom.cli.rehearsal.arrivals import arrivals
from greenroom.cli.rehearsal.crowd import Crowd
from greenroom.cli.rehearsal.verdict import Morning, Result, Supply, Visit, counted, result_of
from greenroom.core.errors import GreenroomError

ENDED_WITHIN_S: Final = 60.0
"""In which the Agents have to remove the sessions of the rehearsal."""
PAUSE_S: Final = 0.5


class RehearsalError(GreenroomError):
    """The rehearsal would not be harmless, or there is nothing to rehearse with."""


def rehearse(
    client: Client,
    morning: Morning,
    *,
    real_containers: bool,
    say: Callable[[str], None],
    warn: Callable[[str], None],
) -> Result:
    """Run the morning and delete what was made for it; `warn` names what could not be deleted.

    Raises:
        RehearsalError: an Agent has real containers, and these are not wanted; or no Agent could take a session.
        ApiError: the server refuses, or does not answer.
    """
    agents = [agent for agent in client.rows("/agents") if agent["enabled"] and not agent["draining"]]
    _require_harmless(agents, real_containers=real_containers)
    supply = supply_of(client, morning, agents)
    before = {row["session_id"] for row in client.rows("/sessions", {"image_id": morning.image_id})}
    with _users(client, morning, say, warn) as user_ids:
        visits = asyncio.run(_run(client, morning, user_ids, say))
        say("Reading what became of the sessions …")
        after = client.rows("/sessions", {"image_id": morning.image_id})
        return result_of(
            morning,
            supply,
            visits,
            not_staged=counted(list(_misses(client, visits))),
            refill_s=max(
                (_start_s(row) for row in after if row["session_id"] not in before and row["started"]), default=None
            ),
        )


def _require_harmless(agents: Sequence[Row], *, real_containers: bool) -> None:
    if not agents:
        raise RehearsalError("No Agent is enabled, so no session could start; see greenroom agents list.")
    real = [agent["hostname"] for agent in agents if not agent.get("simulated")]
    if real and not real_containers:
        raise RehearsalError(
            f"Sessions on {', '.join(real)} have real containers. Start these Agents with GREENROOM_RUNTIME=simulated, "
            "drain them for the time of the rehearsal, or allow real containers with --real-containers."
        )


def supply_of(client: Client, morning: Morning, agents: Sequence[Row]) -> Supply:
    """What those of `agents` have that run, in the zone of the morning or in all of them."""
    image = client.get(f"/images/{morning.image_id}")
    running = [agent for agent in agents if agent["status"] == "running" and _in_zone(agent, morning)]
    pools = [
        pool
        for pool in client.rows("/staging-configs")
        if pool["image_id"] == morning.image_id and not pool["paused"] and _in_zone(pool, morning)
    ]
    return Supply(
        desired=sum(pool["num_sessions"] for pool in pools),
        staged=sum(pool["num_current_sessions"] + pool["num_starting_sessions"] for pool in pools),
        cores=sum(agent["cores"] for agent in running),
        cores_free=sum(agent["cores"] - agent["cores_allocated"] for agent in running),
        memory=sum(agent["memory"] for agent in running),
        memory_free=sum(agent["memory"] - agent["memory_allocated"] for agent in running),
        session_cores=image["cores"],
        session_memory=image["memory"],
    )


def _in_zone(row: Row, morning: Morning) -> bool:
    return morning.zone_id is None or row["zone_id"] == morning.zone_id


async def _run(client: Client, morning: Morning, user_ids: Sequence[str], say: Callable[[str], None]) -> list[Visit]:
    served = 0

    def came(visit: Visit) -> None:
        nonlocal served
        served += visit.usable_s is not None
        say(f"{served} of {morning.users} users have a usable session …")

    say(f"{morning.users} users come within {morning.within_s:g} s …")
    async with client.concurrent() as http:
        clicks_s = arrivals(morning.users, morning.within_s, morning.seed)
        return await Crowd(http, morning, came).come(user_ids, clicks_s)


def _misses(client: Client, visits: Sequence[Visit]) -> Iterator[Visit]:
    """Each launch on demand with the reason why it got no staged session; an empty pool is before any other."""
    for visit in visits:
        if visit.outcome == "on_demand":
            steps = client.get(f"/sessions/{visit.session_id}/placement")["steps"]
            missed = [step for step in steps if step["step"].startswith("staged") and step["code"]]
            missed.sort(key=lambda step: step["code"] != "pool_empty")
            for step in missed[:1]:
                yield Visit(
                    clicked_s=visit.clicked_s,
                    reply_s=visit.reply_s,
                    outcome="on_demand",
                    code=step["code"],
                    sentence=step["reason"],
                )


def _start_s(session: Row) -> float:
    return (datetime.fromisoformat(session["started"]) - datetime.fromisoformat(session["created"])).total_seconds()


@contextmanager
def _users(
    client: Client, morning: Morning, say: Callable[[str], None], warn: Callable[[str], None]
) -> Generator[list[str]]:
    """The users, in a group that may use the workspace; deleted again, also if they were made only in part."""
    name = f"rehearsal-{secrets.token_hex(3)}"
    try:
        yield _make(client, morning, name, say)
    finally:
        say("Deleting the sessions, users and group of the rehearsal …")
        for left in delete(client, name):
            warn(left)


def _make(client: Client, morning: Morning, name: str, say: Callable[[str], None]) -> list[str]:
    settings = {"allow_zone_selection": True} if morning.zone_id is not None else {}
    group = client.post("/groups", {"name": name, "description": "Made by greenroom rehearse", "settings": settings})
    client.put(f"/groups/{group['group_id']}/images/{morning.image_id}")
    say(f"Making {morning.users} users …")
    return [
        client.post("/users", {"username": f"{name}-{number:03}", "groups": [group["group_id"]]})["user_id"]
        for number in range(1, morning.users + 1)
    ]


def delete(client: Client, name: str) -> Iterator[str]:
    """Delete what there is of that name; a sentence for each thing that is left."""
    try:
        groups = [group for group in client.rows("/groups") if group["name"] == name]
        users = [user for user in client.rows("/users", {"q": name}) if user["username"].startswith(f"{name}-")]
        sessions = {row["session_id"] for row in client.rows("/sessions", {"q": name})}
    except ApiError as error:
        yield f"The group {name}, its users and their sessions could not be deleted: {error.message}"
        return
    for what, path, query in [
        *((f"The user {user['username']}", f"/users/{user['user_id']}", {"force": True}) for user in users),
        *((f"The group {name}", f"/groups/{group['group_id']}", None) for group in groups),
    ]:
        try:
            client.delete(path, query)
        except ApiError as error:
            yield f"{what} could not be deleted: {error.message}"
    try:
        yield from (f"The session {session_id} has not ended yet." for session_id in _not_ended(client, sessions))
    except ApiError as error:
        yield f"Whether the sessions of {name} have ended is not known: {error.message}"


def _not_ended(client: Client, session_ids: set[str]) -> list[str]:
    end = time.monotonic() + ENDED_WITHIN_S
    while True:
        left = session_ids & {row["session_id"] for row in client.rows("/sessions", {"status": "deleting"})}
        if not left or time.monotonic() > end:
            return sorted(left)
        time.sleep(PAUSE_S)
