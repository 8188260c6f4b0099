"""Why a pool is below Desired: each cause as one sentence with the numbers (codes in `model.ShortfallCode`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from greenroom.core.launch.placement import Rejection, place, session_of, shown_cores
from greenroom.core.pool.backoff import Failures
from greenroom.core.pool.model import COMING, PooledSession, PoolSnapshot, Shortfall
from greenroom.core.sizes import EXACT, size
from greenroom.core.workspace.spec_builder import ImageFacts, ZoneFacts


def emptied(zone: ZoneFacts, workspaces: Sequence[str]) -> str | None:
    """What a zone's addresses mean for the pools of these workspaces; None = they can be filled."""
    settings = zone.needs_request_host()
    if not settings or not workspaces:
        return None
    return (
        f"{' and '.join(settings)} of zone {zone.zone_name} {_contain(settings)} $request_host$, which cannot be used"
        f" for staged sessions: nothing is staged there, and what was ends ({', '.join(workspaces)}). Enter the domain"
        " of the deployment to have the pools filled."
    )


def barrier(image: ImageFacts, zone: ZoneFacts) -> Shortfall | None:
    """Why no session of this workspace can be staged in this zone."""
    if settings := zone.needs_request_host():
        return Shortfall(
            "zone-request-host",
            f"Nothing is staged: {' and '.join(settings)} of zone {zone.zone_name} {_contain(settings)} $request_host$,"
            " which cannot be used for staged sessions; enter the domain of the deployment in the zone.",
        )
    if not image.enabled:
        return Shortfall("image-disabled", f"Nothing is staged: workspace {image.friendly_name} is disabled.")
    if image.only_zone_id is not None and image.only_zone_id != zone.zone_id:
        return Shortfall(
            "image-unavailable",
            f"Nothing is staged: workspace {image.friendly_name} is restricted to another zone than {zone.zone_name}.",
        )
    return None


def _contain(settings: Sequence[str]) -> str:
    return "contain" if len(settings) > 1 else "contains"


def paused(num_sessions: int, missing: int) -> Shortfall:
    """A paused config keeps its sessions and starts none."""
    return Shortfall(
        "paused",
        f"{missing} of {num_sessions} not staged: the config is paused, so it assigns no session and creates none.",
    )


def unplaced(snapshot: PoolSnapshot, missing: int, rejected: Sequence[Rejection], *, leaving: int) -> Shortfall:
    """Why a session could not be placed: the code of what would have to change for it to fit. While as many sessions of
    the pool are ending, nothing has to change: the next ones get their room.
    """
    desired, zone = snapshot.config.num_sessions, snapshot.zone.zone_name
    start = f"{missing} of {desired} not staged:"
    details = "; ".join(r.reason for r in rejected)
    codes = {r.code for r in rejected}
    if "no_capacity" in codes and leaving >= missing:
        noun = "one session before is" if leaving == 1 else f"{leaving} sessions before are"
        return Shortfall("starting", f"{missing} of {desired} not staged yet: {noun} on the way out, to make room.")
    if "no_capacity" in codes:
        image = snapshot.image
        cores = f"{'a quota of ' if image.cpu_mode == 'Quotas' else ''}{shown_cores(image.cores)} cores"
        return Shortfall(
            "no-capacity",
            f"{start} no Agent in zone {zone} has {cores} and {size(image.memory, EXACT)} free ({details}).",
        )
    if "no_disk" in codes:
        return Shortfall("no-capacity", f"{start} {details}.")
    if "image_unavailable" in codes:
        fetching = any(r.will_pass for r in rejected)
        return Shortfall("image-pulling" if fetching else "image-unavailable", f"{start} {details}.")
    return Shortfall("no-agent", f"{start} {details or f'zone {zone} has no Agent'}.")


def people_first(snapshot: PoolSnapshot, people_waiting: str, missing: int) -> Shortfall:
    """Users wait and go first: for room, or where there is room, for a start."""
    has_room = place(snapshot.agents, session_of(snapshot.image), snapshot.strategy).candidates
    return Shortfall(
        "starting" if has_room else "no-capacity",
        f"{missing} of {snapshot.config.num_sessions} not staged: {people_waiting}; people go first.",
    )


def failing(snapshot: PoolSnapshot, short: int, failures: Failures) -> Shortfall:
    """Sessions failed lately: the number, the last error, and when the next one is tried."""
    waits = failures.next_try is not None and snapshot.now < failures.next_try
    when = f"next try at {failures.next_try:%H:%M:%S} UTC" if waits and failures.next_try else "trying again now"
    noun, verb = ("session", "broke") if failures.breaks else ("start", "failed")
    what = f"{noun} {verb}" if failures.number == 1 else f"{noun}s in a row {verb}"
    return Shortfall(
        "start-failing",
        f"{short} of {snapshot.config.num_sessions} not staged: {failures.number} {what},"
        f" the last with: {(failures.last_error or '').rstrip('.')}; {when}.",
    )


def failing_agents(snapshot: PoolSnapshot, counted: Sequence[PooledSession], short: int) -> Shortfall | None:
    """Sessions do not start on Agents that are crash-looping or whose container runtime ended after they were placed;
    None = there are none."""
    hosts = {session.agent_id for session in counted if session.status in COMING}
    why = "; ".join(agent.failure for agent in snapshot.agents if agent.agent_id in hosts and agent.failure)
    if not why:
        return None
    return Shortfall("no-agent", f"{short} of {snapshot.config.num_sessions} not staged: {why}.")


def starting(num_sessions: int, missing: int, coming: int) -> Shortfall:
    """All that is missing is on its way, or begins as soon as that is there."""
    if 0 < coming < missing:
        how = f"{coming} of them {'is' if coming == 1 else 'are'} starting"
    else:
        how = f"{'it is' if missing == 1 else 'they are'} {'starting' if coming else 'about to start'}"
    return Shortfall("starting", f"{missing} of {num_sessions} not staged yet: {how}.")


def unattended(num_sessions: int, missing: int) -> Shortfall:
    """No Manager runs that could fill the pool."""
    return Shortfall(
        "no-running-manager",
        f"{missing} of {num_sessions} not staged: no Manager of the zone is running, so the pool is not filled.",
    )


_JUDGED_NOW: Final = frozenset({"zone-request-host", "image-disabled", "no-running-manager", "paused"})
"""Codes that are computed anew for each reader; a stored one that does not apply now is over."""


def shown_shortfall(
    stored: Shortfall | None,
    *,
    barred: Shortfall | None,
    is_paused: bool,
    num_sessions: int,
    current: int,
    coming: int,
    has_manager: bool,
) -> Shortfall | None:
    """What a reader sees now, between the Primary's rounds.

    Args:
        stored: what the Primary stored last.
        barred: the present result of `barrier`, which applies even if no Manager runs.
        num_sessions: Desired.
        current: claimable sessions now.
        coming: sessions on their way now.
        has_manager: whether a Manager of the zone runs.
    """
    missing = num_sessions - current
    if missing <= 0:
        return None
    if barred is not None:
        return barred
    if is_paused and missing > coming:
        return paused(num_sessions, missing - coming)
    if not has_manager:
        return unattended(num_sessions, missing)
    if stored is not None and stored.code not in _JUDGED_NOW:
        return stored
    return starting(num_sessions, missing, coming)
