"""`greenroom doctor`: the invariants of a live system, in the database, in Docker and at the Managers.

With `--repair`, leftovers in Docker or in the Kubernetes namespace are listed and, with `--yes`, removed.
"""

from __future__ import annotations

import asyncio
import json
import shlex
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal

from greenroom.core.errors import GreenroomError, SetupError
from greenroom.core.fleet.disk import FreeDisk
from greenroom.core.fleet.restarts import with_subject
from greenroom.core.session.leftovers import Leftover, plan
from greenroom.db.access.api_keys import find_expiring_administrator_keys
from greenroom.db.connections import refuse_pooler
from greenroom.db.database import Database
from greenroom.db.diagnostics.views import read_known_rows
from greenroom.db.fleet.managers import list_managers
from greenroom.db.installation import installation_id
from greenroom.db.migrate import pending_files
from greenroom.kit import host_limits
from greenroom.kit.config import AgentConfig
from greenroom.kit.starts import StartLog
from greenroom.runtimes.contract import InstallationObjects, RuntimeUnavailable
from greenroom.runtimes.plugin import InstanceFacts
from greenroom.runtimes.registry import find_runtime
from greenroom.shared.states import SessionStatus
from greenroom.up import instance, log
from greenroom.up.doctor_facts import count_repairs, read_failed_tasks, read_free_disk, read_recordings_full_message
from greenroom.up.host_limits import SessionCapacity, session_capacity
from greenroom.up.invariants import INVARIANTS, find_unreadable_rows, find_violations, live_sessions, sessions_that_fit
from greenroom.up.layout import Layout, read_json, running_layout
from greenroom.up.progress import stderr_progress
from greenroom.up.recorded import HostCommand, recorded
from greenroom.up.site import Site, site_of
from greenroom.up.terminal import console

SETTLE_S: Final = 3.0
"""Only violations that still exist after this time are reported. Other violations were changes in progress."""
RECENT_S: Final = 600.0
"""The maximum age of a failure of a task in a warning. A task is tried again at least every 30 s."""
KEY_WARNING_S: Final = 30 * 86400.0
"""The remaining time before an administrator's key expires at which the warnings begin."""
RESTORE_WARNING: Final = timedelta(days=7)
FULL_WARNING_S: Final = 2 * 3600.0
"""The maximum age of a log row about omitted pictures of recordings. Such a row is written once an hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of the check of an invariant. `broken` contains a sentence for each violation."""

    code: str
    holds: str
    """The condition that must hold, as a text."""
    broken: tuple[str, ...]
    skipped: str = ""
    """The reason why the invariant could not be checked; empty if it was checked."""


async def check_invariants(db: Database, site: Site) -> list[Finding]:
    """Return the result of every invariant, in order. Outside the database, only the Agents and Managers of this
    machine are checked."""
    findings = [await _check_twice(i.code, i.holds, lambda i=i: find_violations(db, i)) for i in INVARIANTS]
    installation, folders = await installation_id(db), [agent.folder for agent in site.agents]

    async def containers() -> dict[str, list[str]]:
        session_ids = await find_runtime(site.settings.runtime).session_ids(installation, folders)
        return compare_containers(await live_sessions(db, site.agent_ids), session_ids)

    for code, holds in CONTAINER_INVARIANTS.items():
        try:
            findings.append(await _check_twice(code, holds, lambda code=code: _violations_of(containers, code)))
        except (SetupError, RuntimeUnavailable) as error:
            findings.append(Finding(code=code, holds=holds, broken=(), skipped=error.message))
    findings.append(await _check_twice(*SENTINELS, lambda: _sentinel_violations(db, site)))
    findings.append(await _check_twice(*API_LOOPS, lambda: find_api_crash_loop(site)))
    findings.append(await _check_twice(*READABLE, lambda: find_unreadable_rows(db)))
    return sorted(findings, key=lambda finding: int(finding.code[1:]))


def skip_all_invariants(reason: str) -> list[Finding]:
    """Return every invariant as skipped for this reason."""
    conditions = {i.code: i.holds for i in INVARIANTS} | CONTAINER_INVARIANTS | OTHER_INVARIANTS
    findings = [Finding(code=code, holds=holds, broken=(), skipped=reason) for code, holds in conditions.items()]
    return sorted(findings, key=lambda finding: int(finding.code[1:]))


async def find_warnings(db: Database) -> list[str]:
    """Return problems that break no invariant: tasks that fail on a Primary, keys of administrators that expire soon,
    omitted pictures of recordings."""
    task_warnings = [
        f"A task of the Primary of zone {task.zone_name} failed {task.failures} times in the last {RECENT_S / 60:g}"
        f" minutes, most recently at {task.time:%H:%M:%S} UTC. {task.message}"
        " (greenroom logs list --code primary-task-failed)"
        for task in await read_failed_tasks(db, RECENT_S)
    ]
    key_warnings = [
        f"The API key {key.key_id} ({key.name}), which has every permission, expires at"
        f" {key.expires:%Y-%m-%d %H:%M} UTC. Log in as an administrator, create another key (Access, API"
        " Keys) and use it in the programs that use this key. A key cannot create a key that expires later than itself."
        for key in await find_expiring_administrator_keys(db, KEY_WARNING_S)
    ]
    full_message = await read_recordings_full_message(db, FULL_WARNING_S)
    recordings_warnings = [f"{full_message} (greenroom logs list --code recordings-full)"] if full_message else []
    return task_warnings + key_warnings + recordings_warnings


async def restore_warnings(db: Database, layout: Layout, now: datetime) -> list[str]:
    """Return a sentence about the repairs after a recent restore, whose backup can be older than the containers."""
    stored = read_json(layout.restored)
    if not stored or (restored := datetime.fromisoformat(stored["time"])) < now - RESTORE_WARNING:
        return []
    repairs = await count_repairs(db, restored)
    sentence = (
        f"Since the restore of a backup at {restored:%Y-%m-%d %H:%M} UTC, sessions that ended because their container"
        f" was gone: {repairs.ended}; removed containers without a session: {repairs.removed}."
    )
    return [sentence]


async def runtime_warnings(db: Database | None, site: Site) -> list[str]:
    """Return problems with the runtime of the sessions, which break no invariant: Docker and its disk, or the cluster.
    `db` is None if the database, which contains the reports of Agents about their disks, cannot be used.
    """
    runtime = find_runtime(site.settings.runtime)
    try:
        instance = InstanceFacts(
            disk=FreeDisk() if db is None else await read_free_disk(db, site.agent_ids),
            database_folder=None if site.settings.database_url is not None else site.layout.postgres,
            runtime_classes=AgentConfig(agent_dir=site.layout.data).extra_runtime_classes(),
        )
        return await runtime.warnings(instance)
    except GreenroomError as error:
        return [f"The {runtime.check_subject} could not be checked: {error.message}"]


async def host_capacity(db: Database, site: Site) -> SessionCapacity:
    """Return the number of sessions that this host can run."""
    if remote_sessions_text := find_runtime(site.settings.runtime).remote_sessions_text:
        return SessionCapacity(f"Sessions are {remote_sessions_text} and use no resources of this host.")
    return session_capacity(host_limits.read_limits(), await sessions_that_fit(db, site.agent_ids))


API_LOOPS: Final = ("I29", "the api of this machine is not crash-looping")
READABLE: Final = ("I28", "each row can be read")
SENTINELS: Final = ("I18", "nginx has the list of disabled Managers")
OTHER_INVARIANTS: Final = dict([SENTINELS, API_LOOPS, READABLE])
CONTAINER_INVARIANTS: Final = {
    "I3": "a session has at most one container",
    "I6": "a container has a session",
    "I7": "a running, stopped or paused session has its container",
}
HAS_CONTAINER: Final = frozenset({SessionStatus.RUNNING, SessionStatus.STOPPED, SessionStatus.PAUSED})


def compare_containers(sessions: Mapping[str, str], containers: Sequence[str]) -> dict[str, list[str]]:
    """Compare rows with containers, and return code of the invariant → sentences. `sessions` is session id → status of
    all sessions that are not deleted, `containers` the session id on the label of each container.
    """
    several = [session for session, count in Counter(containers).items() if count > 1]
    unknown = sorted(set(containers) - set(sessions))
    missing = [session for session, status in sessions.items() if status in HAS_CONTAINER and session not in containers]
    return {
        "I3": [f"session {session} has several containers" for session in several],
        "I6": [f"a container names session {session}, which has ended or never existed" for session in unknown],
        "I7": [f"session {session} is {sessions[session]} without a container" for session in missing],
    }


async def _sentinel_violations(db: Database, site: Site) -> list[str]:
    """Return a sentence for each Manager of this machine whose sentinel file contradicts its row. The file must exist
    exactly while the Manager is disabled.
    """
    enabled = {manager.instance_id: manager.enabled for manager in await list_managers(db)}
    contradicting = [
        manager for manager in site.managers if enabled.get(manager.instance_id) is manager.sentinel_file.exists()
    ]
    return [
        f"{manager.instance_id} is {'enabled' if enabled[manager.instance_id] else 'disabled'}, but its sentinel file"
        f" {manager.sentinel_file} {'exists' if enabled[manager.instance_id] else 'is missing'}"
        for manager in contradicting
    ]


async def find_api_crash_loop(site: Site) -> list[str]:
    """Return a sentence if the api of this machine is crash-looping. The starts of the api are in a file of DATA."""
    crash_loop = StartLog(site.layout.api).read_crash_loop()
    return [with_subject("The api", crash_loop)] if crash_loop else []


async def _violations_of(check: Callable[[], Awaitable[dict[str, list[str]]]], code: str) -> list[str]:
    return (await check())[code]


async def _check_twice(code: str, holds: str, check: Callable[[], Awaitable[list[str]]]) -> Finding:
    violations = await check()
    if violations:
        await asyncio.sleep(SETTLE_S)
        violations = [sentence for sentence in await check() if sentence in violations]
    return Finding(code=code, holds=holds, broken=tuple(violations))


@asynccontextmanager
async def database_to_check(layout: Layout) -> AsyncGenerator[tuple[Database, Site]]:
    """Yield the database of a running instance.

    Raises:
        SetupError: the instance has an older version than this program, or its database is behind a connection pooler.
    """
    dsn = site_of(layout).dsn
    if pending := await pending_files(dsn):
        raise SetupError(
            f"The instance on {layout.data} runs an older version than this program (its database lacks {pending[0]});"
            " restart it with greenroom down and greenroom up."
        )
    await refuse_pooler(dsn)
    async with instance.database_of(layout, stderr_progress()) as db:
        yield db


RepairResult = Literal["removed", "would be removed", "left", "not removed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairOutcome:
    """The outcome for a leftover, and the reason of the outcome as a sentence."""

    thing: str
    became: RepairResult
    reason: str


async def find_leftovers(db: Database, runtime_objects: InstallationObjects) -> list[Leftover]:
    """Return the leftovers: the objects of the runtime that belong to no session and no Agent.

    Raises:
        GreenroomError: the database or the runtime does not respond.
    """
    objects = await runtime_objects.list()
    return plan(objects, await read_known_rows(db, objects))


async def remove_leftovers(
    runtime_objects: InstallationObjects, leftovers: Sequence[Leftover], *, removes: bool
) -> list[RepairOutcome]:
    """With `removes`, remove each leftover that may be removed, even after a failure. Return the outcomes."""
    outcomes: list[RepairOutcome] = []
    for leftover in leftovers:
        became: RepairResult = "would be removed" if leftover.removed else "left"
        reason = leftover.reason
        if leftover.removed and removes:
            try:
                await runtime_objects.remove(leftover.item)
                became = "removed"
            except GreenroomError as error:
                became, reason = "not removed", error.message.rstrip(".")
        outcomes.append(RepairOutcome(thing=leftover.item.title, became=became, reason=reason))
    return outcomes


def repair_instance(data: Path, *, removes: bool, as_json: bool) -> None:
    """List leftovers, or remove them; exit code 1 if a removable leftover remains.

    Raises:
        SetupError: the instance is not running.
        GreenroomError: the database or the runtime does not respond.
    """
    log.configure_for_command("doctor")
    outcomes = asyncio.run(_repair(running_layout(data), removes=removes))
    show_outcomes(outcomes, f"greenroom doctor --repair --yes --data {shlex.quote(str(data))}", as_json=as_json)


def show_outcomes(outcomes: Sequence[RepairOutcome], remove_command: str, *, as_json: bool) -> None:
    """Print the outcome of each leftover; exit code 1 if a removable leftover remains. `remove_command` is the command
    that removes the leftovers.
    """
    if as_json:
        rows = [{"thing": outcome.thing, "became": outcome.became, "reason": outcome.reason} for outcome in outcomes]
        print(json.dumps(rows))  # noqa: T201 -- the command's result
    else:
        _show_lines(outcomes, remove_command)
    if any(outcome.became in {"would be removed", "not removed"} for outcome in outcomes):
        raise SystemExit(1)


def _show_lines(outcomes: Sequence[RepairOutcome], remove_command: str) -> None:
    out = console(soft_wrap=True)
    for outcome in outcomes:
        out.print(f"{outcome.became}: {outcome.thing}: {outcome.reason}.", markup=False)
    if not outcomes:
        out.print("Nothing is left over.")
    elif any(outcome.became == "would be removed" for outcome in outcomes):
        out.print(f"Nothing was removed. To remove the leftovers, run: {remove_command}", markup=False)


async def _repair(layout: Layout, *, removes: bool) -> list[RepairOutcome]:
    async with (
        database_to_check(layout) as (db, site),
        find_runtime(site.settings.runtime).installation_objects(await installation_id(db)) as runtime_objects,
    ):
        leftovers = await find_leftovers(db, runtime_objects)
        command = HostCommand(name="doctor", code="doctor-repair", action="removed leftovers")
        async with recorded(db, layout.key_file, command) if removes else nullcontext():
            return await remove_leftovers(runtime_objects, leftovers, removes=removes)
