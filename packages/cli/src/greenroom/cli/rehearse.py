"""`greenroom rehearse`: simulates many launches on a live system before users need it, and reports shortages.

The rehearsal creates its own users and sessions, and deletes them at the end.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final

import typer

from greenroom.cli.client import ApiError, Client
from greenroom.cli.nouns import NOUNS
from greenroom.cli.output import Printer, Row, columns, printable
from greenroom.cli.rehearsal import (
    RehearsalPlan,
    RehearsalResult,
    RehearsedVisit,
    SupplyAtStart,
    arrivals,
    count_reasons,
    summarize,
)
from greenroom.cli.values import duration_parser
from greenroom.cli.verbs import Call, command
from greenroom.client import AsyncGreenroom, Retries
from greenroom.client.requests import without_none
from greenroom.core.errors import GreenroomError, SetupError
from greenroom.db.access.users import ALL_USERS

POLL_S: Final = 0.1
"""Seconds between two checks of the sessions that users wait for."""
IDS_PER_REQUEST: Final = 100
"""The maximum number of sessions that one request checks."""

Report = Callable[[str], None]
"""Displays a sentence."""


class RehearsedUsers:
    """Simulates the users of a rehearsal with one API key. `on_visit` is called with the outcome of each user."""

    def __init__(
        self, greenroom: AsyncGreenroom, plan: RehearsalPlan, on_visit: Callable[[RehearsedVisit], None]
    ) -> None:
        self._greenroom = greenroom
        self._plan = plan
        self._on_visit = on_visit
        self._waiting: dict[str, asyncio.Event] = {}

    async def run_visits(self, user_ids: Sequence[str], launches_s: Sequence[float]) -> list[RehearsedVisit]:
        """Launch a session for each user at the times `launches_s`, and return the outcomes. The outcome of a user who
        has no usable session in time is "late"."""
        begin = time.monotonic()
        async with asyncio.TaskGroup() as group:
            polling = group.create_task(self._poll())
            visits: list[asyncio.Task[RehearsedVisit]] = []
            for user_id, launch_s in zip(user_ids, launches_s, strict=True):
                await asyncio.sleep(begin + launch_s - time.monotonic())
                visits.append(group.create_task(self._visit(user_id, time.monotonic() - begin)))
            results = [await visit for visit in visits]
            polling.cancel()
        return results

    async def _visit(self, user_id: str, launched_s: float) -> RehearsedVisit:
        visit = await self._launch(user_id, launched_s)
        self._on_visit(visit)
        return visit

    async def _launch(self, user_id: str, launched_s: float) -> RehearsedVisit:
        requested_at = time.monotonic()
        visit = RehearsedVisit(launched_s=launched_s, reply_s=0.0, outcome="late")
        body = without_none(image_id=self._plan.image_id, user_id=user_id, zone_id=self._plan.zone_id)
        try:
            session = await self._greenroom.request("POST", "/sessions", body)
        except GreenroomError as error:
            code = str(error.details.get("code", error.code))
            reply_s = time.monotonic() - requested_at
            return replace(visit, reply_s=reply_s, outcome="refused", code=code, sentence=error.message)
        visit = replace(visit, reply_s=time.monotonic() - requested_at, session_id=str(session["session_id"]))
        try:
            async with asyncio.timeout(self._plan.usable_within_s - visit.reply_s):
                await self._wait_until_usable(session["session_id"])
        except TimeoutError:
            return visit
        outcome = "staged" if session["staged"] else "on_demand"
        return replace(visit, outcome=outcome, usable_s=time.monotonic() - requested_at)

    async def _wait_until_usable(self, session_id: str) -> None:
        usable = self._waiting[session_id] = asyncio.Event()
        try:
            await usable.wait()
        finally:
            del self._waiting[session_id]

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            waiting = list(self._waiting)
            for first in range(0, len(waiting), IDS_PER_REQUEST):
                await self._poll_sessions(waiting[first : first + IDS_PER_REQUEST])

    async def _poll_sessions(self, session_ids: list[str]) -> None:
        rows = {row["session_id"]: row for row in await self._rows("/sessions", session_ids)}
        for session_id in session_ids:
            row = rows.get(session_id) or await self._rows(f"/sessions/{session_id}")  # returns the replacement
            if row and row["status"] == "running" and session_id in self._waiting:
                self._waiting[session_id].set()

    async def _rows(self, path: str, session_ids: Sequence[str] = ()) -> Any:
        """Return the rows; an empty list if the api does not respond. The next check repeats the request."""
        try:
            return await self._greenroom.request("GET", path, query={"session_id": session_ids})
        except GreenroomError:
            return []


ENDED_WITHIN_S: Final = 60.0
"""The time within which the Agents must remove the sessions of the rehearsal."""
PAUSE_S: Final = 0.5


def _run_rehearsal(call: Call, plan: RehearsalPlan, agents: Sequence[Row], show_progress: Report) -> RehearsalResult:
    """Run the rehearsal, and delete the objects that it created. Warn about objects that could not be deleted."""
    client = call.client
    supply = read_supply(client, plan, agents)
    earlier_ids = {row["session_id"] for row in client.rows("/sessions", {"image_id": plan.image_id})}
    with _temporary_users(client, plan, show_progress, call.output.print_warning) as user_ids:
        visits = asyncio.run(_run_visits(client, plan, user_ids, show_progress))
        show_progress("Reading the outcomes of the sessions …")
        rows = client.rows("/sessions", {"image_id": plan.image_id})
        started = [row for row in rows if row["session_id"] not in earlier_ids and row["started"]]
        starts = [datetime.fromisoformat(row["started"]) - datetime.fromisoformat(row["created"]) for row in started]
        refill_s = max(starts).total_seconds() if starts else None
        not_staged = count_reasons(list(_read_misses(client, visits)))
        return summarize(plan, supply, visits, not_staged=not_staged, refill_s=refill_s)


def _usable_agents(client: Client, *, real_containers: bool) -> list[Row]:
    """Return the Agents that accept new sessions. Raises SetupError: there is no such Agent, or an Agent has real
    containers and `real_containers` is False."""
    agents = [agent for agent in client.rows("/agents") if agent["enabled"] and not agent["draining"]]
    if not agents:
        raise SetupError("No Agent is enabled, so no session could start; see greenroom agents list.")
    real = [agent["hostname"] for agent in agents if not agent.get("simulated")]
    if real and not real_containers:
        raise SetupError(
            f"Sessions on {', '.join(real)} have real containers. Start these Agents with GREENROOM_RUNTIME=simulated, "
            "drain them for the time of the rehearsal, or allow real containers with --real-containers."
        )
    return agents


def read_supply(client: Client, plan: RehearsalPlan, agents: Sequence[Row]) -> SupplyAtStart:
    """Return the capacity of the running Agents among `agents`, in the zone of the plan or in all zones."""
    image = client.get(f"/images/{plan.image_id}")
    running = [agent for agent in agents if agent["status"] == "running" and _in_zone(agent, plan)]
    pools = [
        pool
        for pool in client.rows("/staging-configs")
        if pool["image_id"] == plan.image_id and not pool["paused"] and _in_zone(pool, plan)
    ]
    return SupplyAtStart(
        desired=sum(pool["num_sessions"] for pool in pools),
        staged=sum(pool["num_current_sessions"] + pool["num_starting_sessions"] for pool in pools),
        cores=sum(agent["cores"] for agent in running),
        cores_free=sum(agent["cores"] - agent["cores_allocated"] for agent in running),
        memory=sum(agent["memory"] for agent in running),
        memory_free=sum(agent["memory"] - agent["memory_allocated"] for agent in running),
        session_cores=image["cores"],
        session_memory=image["memory"],
    )


def _in_zone(row: Row, plan: RehearsalPlan) -> bool:
    return plan.zone_id is None or row["zone_id"] == plan.zone_id


async def _run_visits(
    client: Client, plan: RehearsalPlan, user_ids: Sequence[str], show_progress: Report
) -> list[RehearsedVisit]:
    served = 0

    def on_visit(visit: RehearsedVisit) -> None:
        nonlocal served
        served += visit.usable_s is not None
        show_progress(f"{served} of {plan.users} users have a usable session …")

    show_progress(f"{plan.users} users launch sessions within {plan.within_s:g} s …")
    server, retries = client.server, Retries(attempts=1)
    address = (server.url, server.key, server.secret)
    async with AsyncGreenroom(*address, retries=retries, tls=server.tls, trust_env=not server.is_local) as greenroom:
        launches_s = arrivals(plan.users, plan.within_s, plan.seed)
        return await RehearsedUsers(greenroom, plan, on_visit).run_visits(user_ids, launches_s)


def _read_misses(client: Client, visits: Sequence[RehearsedVisit]) -> Iterator[RehearsedVisit]:
    """Yield each launch on demand with the reason why it got no staged session; an empty pool has precedence over other
    reasons."""
    for visit in visits:
        if visit.outcome == "on_demand":
            steps = client.get(f"/sessions/{visit.session_id}/placement")["steps"]
            missed = [step for step in steps if step["step"].startswith("staged") and step["code"]]
            missed.sort(key=lambda step: step["code"] != "pool_empty")
            for step in missed[:1]:
                yield replace(visit, code=step["code"], sentence=step["reason"])


@contextmanager
def _temporary_users(client: Client, plan: RehearsalPlan, show_progress: Report, warn: Report) -> Generator[list[str]]:
    """Yield the ids of new users in a new group that may use the workspace. All created users and the group are deleted
    at the end, also after an error."""
    name = f"rehearsal-{secrets.token_hex(3)}"
    try:
        yield _create_users(client, plan, name, show_progress)
    finally:
        show_progress("Deleting the sessions, users and group of the rehearsal …")
        for sentence in delete_rehearsal(client, name):
            warn(sentence)


def _create_users(client: Client, plan: RehearsalPlan, name: str, show_progress: Report) -> list[str]:
    settings = {"allow_zone_selection": True} if plan.zone_id is not None else {}
    group = client.post("/groups", {"name": name, "description": "Created by greenroom rehearse", "settings": settings})
    client.request("PUT", f"/groups/{group['group_id']}/images/{plan.image_id}")
    show_progress(f"Creating {plan.users} users …")
    return [
        client.post("/users", {"username": f"{name}-{number:03}", "groups": [group["group_id"]]})["user_id"]
        for number in range(1, plan.users + 1)
    ]


def delete_rehearsal(client: Client, name: str) -> Iterator[str]:
    """Delete the users, the group and the sessions of a rehearsal. Yield a sentence for each that remains."""
    try:
        groups = [group for group in client.rows("/groups") if group["name"] == name]
        users = [user for user in client.rows("/users", {"q": name}) if user["username"].startswith(f"{name}-")]
        sessions = {row["session_id"] for row in client.rows("/sessions", {"q": name})}
    except ApiError as error:
        yield f"The group {name}, its users and their sessions could not be deleted: {error.message}"
        return
    for subject, path, query in [
        *((f"The user {user['username']}", f"/users/{user['user_id']}", {"force": True}) for user in users),
        *((f"The group {name}", f"/groups/{group['group_id']}", None) for group in groups),
    ]:
        try:
            client.delete(path, query)
        except ApiError as error:
            yield f"{subject} could not be deleted: {error.message}"
    try:
        yield from (f"The session {session_id} has not ended yet." for session_id in _not_ended(client, sessions))
    except ApiError as error:
        yield f"The end of the sessions of {name} could not be checked: {error.message}"


def _not_ended(client: Client, session_ids: set[str]) -> list[str]:
    end = time.monotonic() + ENDED_WITHIN_S
    while True:
        remaining = session_ids & {row["session_id"] for row in client.rows("/sessions", {"status": "deleting"})}
        if not remaining or time.monotonic() > end:
            return sorted(remaining)
        time.sleep(PAUSE_S)


_REASONS: Final = columns("launches code sentence")

Users = Annotated[int, typer.Option(min=1, max=100_000, help="Number of users; each launches one session.")]
_SECONDS: Final = partial(typer.Option, parser=duration_parser("s"), metavar="DURATION")
Within = Annotated[float, _SECONDS(help="Period of the launches in seconds.")]
UsableWithin = Annotated[float, _SECONDS(help="Longest wait for a usable session in seconds.")]
Image = Annotated[
    str | None, typer.Option(metavar="IMAGE", help="The workspace. Default: that of All Users, else the first enabled.")
]
Zone = Annotated[str | None, typer.Option(metavar="ZONE", help="Zone of the launches. Default: the zone of --url.")]
Seed = Annotated[int, typer.Option(help="Seed of the random arrivals; the same seed repeats them.")]
Real = Annotated[bool, typer.Option("--real-containers", help="Allow Agents with real containers.")]


@command
def rehearse(
    call: Call,
    *,
    users: Users,
    within: Within,
    usable_within: UsableWithin = 30,
    image: Image = None,
    zone: Zone = None,
    seed: Seed = 0,
    real_containers: Real = False,
) -> None:
    """Simulate a busy start of work: launch a session for each of many users and report shortages.

    The command creates the users and a group for the rehearsal, and deletes them with their sessions at the end. The
    exit code is 1 if a user got no usable session.
    """
    workspace = _workspace(call.client, image)
    plan = RehearsalPlan(
        users=users,
        within_s=within,
        usable_within_s=usable_within,
        seed=seed,
        image_id=workspace["image_id"],
        workspace=workspace["friendly_name"],
        zone_id=NOUNS["zones"].find_id(call.client, zone) if zone is not None else None,
    )
    agents = _usable_agents(call.client, real_containers=real_containers)
    with call.output.err.status("") as status:
        result = _run_rehearsal(call, plan, agents, lambda sentence: status.update(printable(sentence)))
    _show(call.output, result)
    if not result.passed:
        raise typer.Exit(1)


def _workspace(client: Client, name_or_id: str | None) -> Row:
    if name_or_id is None:
        name_or_id = client.get(f"/groups/{ALL_USERS}")["settings"].get("default_image")
    if name_or_id:
        return client.get(f"/images/{NOUNS['images'].find_id(client, name_or_id)}")
    enabled = [image for image in client.rows("/images") if image["enabled"]]
    if not enabled:
        raise ApiError("No workspace is enabled, so there is nothing to launch; see greenroom images list.")
    return enabled[0]


def _show(output: Printer, result: RehearsalResult) -> None:
    if output.print_if_json(asdict(result)):
        return
    row = {name: value for name, value in asdict(result).items() if name not in {"image_id", "zone_id"}}
    refusals, not_staged, shortages = row.pop("refusals"), row.pop("not_staged"), row.pop("short")
    output.print_object({name: round(value, 3) if isinstance(value, float) else value for name, value in row.items()})
    for reasons in (refusals, not_staged):
        if reasons:
            output.print_line()
            output.print_list(reasons, _REASONS, "", fold=True)
    output.print_line()
    for sentence in shortages or ["There are enough staged sessions, cores and memory."]:
        output.print_line(sentence)
