"""Why a launch got its session at once, late or not at all: from its trace, with the names of machines and pools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final

from greenroom.core.access.group_settings import SETTINGS, STAGED_PERMISSIONS, GroupSettings, permissions_of, resolve
from greenroom.core.diagnostics.attention import launch_help
from greenroom.core.diagnostics.sentences import Help, ObjectRef, SentencePart
from greenroom.core.diagnostics.why.agents import PlacementFacts, image_setting, setting_for_room
from greenroom.core.diagnostics.why.model import (
    DecisionStep,
    DecisiveSetting,
    ExplainedDecision,
    Fact,
    StepResult,
    first_facts,
    parts_of,
    text_of,
)
from greenroom.core.diagnostics.why.settings import changed_groups, group_setting
from greenroom.core.launch.compatibility import LaunchFacts, differing_permissions, violations
from greenroom.core.launch.placement import place
from greenroom.core.launch.plan import LaunchZone, StagedPool, Step, TraceStep, own_zone_reason
from greenroom.core.workspace.spec_builder import ImageFacts

_RULES: Final[dict[Step, str]] = {
    "turn": "The queue of launches has room",
    "staged_here": "A staged session of zone {} fits",
    "staged_elsewhere": "A staged session of zone {} fits",
    "on_demand_here": "A new session fits in zone {}",
    "on_demand_elsewhere": "A new session fits in zone {}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedLaunch:
    """A launch of the ledger. `waited_s` is None if the time is unknown."""

    username: str
    friendly_name: str
    image_id: str | None
    outcome: str
    trace: tuple[TraceStep, ...]
    waited_s: float | None = None


def launch_decision(launch: TracedLaunch, setting: DecisiveSetting | None) -> ExplainedDecision:
    """Return the decision of a launch. `setting` would change the result of a launch now (`LaunchNow`)."""
    attempts = [list(steps) for _, steps in groupby(launch.trace, lambda step: (step.order, step.step))]
    decisive = _decisive(launch, attempts)
    steps = tuple(_step(attempt, decides=number == decisive) for number, attempt in enumerate(attempts))
    subject = SentencePart(launch.friendly_name, ObjectRef("image", launch.image_id) if launch.image_id else None)
    who = launch.username
    if launch.outcome == "failed":
        return ExplainedDecision(
            question=f"Why did {who} get no session of {launch.friendly_name}?",
            answer=parts_of(f"{who} got no session of ", subject, f". {text_of(own_zone_reason(launch.trace))}"),
            tone="failure",
            steps=steps,
            setting=setting,
            help=launch_help(launch.trace, launch.image_id) if launch.image_id else None,
        )
    after = "" if launch.waited_s is None else f" after {launch.waited_s:.1f} s"
    if launch.outcome == "staged":
        return ExplainedDecision(
            question=f"Why did {who} get this session of {launch.friendly_name}?",
            answer=parts_of(f"{who} got a staged session of ", subject, f"{after}."),
            tone="ready",
            steps=steps,
        )
    missed = next((step.reason for step in launch.trace if step.step == "staged_here"), "")
    return ExplainedDecision(
        question=f"Why did {who} wait for {launch.friendly_name}?",
        answer=parts_of(f"{who} got a new session of ", subject, f"{after}. {text_of(missed)}".rstrip()),
        tone="warning",
        steps=steps,
        setting=setting,
        help=_help_after_wait(launch),
    )


def _decisive(launch: TracedLaunch, attempts: Sequence[Sequence[TraceStep]]) -> int:
    """Return the index of the attempt that decided: the one that gave a staged session; the first attempt for a staged
    session if the user had to wait; the attempt in the own zone if the launch failed."""
    kinds = [attempt[0].step for attempt in attempts]
    wanted = {"on_demand": "staged_here", "failed": "on_demand_here"}.get(launch.outcome, "")
    return kinds.index(wanted) if wanted in kinds else len(kinds) - 1


def _step(attempt: Sequence[TraceStep], *, decides: bool) -> DecisionStep:
    last = attempt[-1]
    result: StepResult = "passed" if last.used else "stopped"
    is_staged = last.step.startswith("staged")
    reasons = [replace(each, reason=text_of(each.reason)) for each in attempt]
    facts = [_fact(each, is_staged=is_staged) for each in reasons] if len(reasons) > 1 else []
    reason = text_of(last.reason) if last.used or len(reasons) == 1 else f"{len(reasons)} reasons against it."
    pool = ObjectRef("staging_config", last.candidate) if is_staged and last.candidate else None
    return DecisionStep(
        rule=_RULES[last.step].format(last.zone_name),
        result=result,
        reason=parts_of(reason, *([" ", SentencePart("Show the pool", pool)] if pool else [])),
        facts=first_facts(facts, "reasons"),
        decides=decides,
    )


def _fact(step: TraceStep, *, is_staged: bool) -> Fact:
    if step.setting in SETTINGS:
        return Fact(step.setting, step.reason)
    name = ("Pool" if is_staged else step.candidate) if step.candidate else "Zone"
    return Fact(name, step.reason)


def _help_after_wait(launch: TracedLaunch) -> Help:
    pool = next((s.candidate for s in launch.trace if s.step == "staged_here" and s.candidate and not s.used), None)
    if pool is None:
        return Help("Stage sessions of it", ObjectRef("staging_configs"))
    return Help("Show the pool", ObjectRef("staging_config", pool))


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchNow:
    """The present state of a launch of the same user and workspace. `placements` has the Agents of each zone, by id."""

    image: ImageFacts
    facts: LaunchFacts
    memberships: tuple[GroupSettings, ...]
    all_users_id: str
    zone: LaunchZone
    others: tuple[LaunchZone, ...]
    pools: tuple[StagedPool, ...]
    placements: dict[str, PlacementFacts]


def setting_for_launch(now: LaunchNow, *, failed: bool) -> DecisiveSetting | None:
    """Return the setting that would give a session to a failed launch, or a staged session to one that had to wait;
    None if a launch now would not fail, or no single setting is sufficient."""
    if not now.image.enabled:
        setting = image_setting(now.image, "enabled", "Enabled", value=False, suggested=True)
        return replace(setting, after=f"{now.image.friendly_name} can be launched.")
    return _setting_for_room(now) if failed else _setting_for_pool(now)


def _has_room(facts: PlacementFacts) -> bool:
    return bool(place(facts.agents, facts.request, facts.strategy).candidates)


def _setting_for_room(now: LaunchNow) -> DecisiveSetting | None:
    own = now.placements[now.zone.zone_id]
    with_room = [zone for zone in now.others if _has_room(now.placements[zone.zone_id])]
    if _has_room(own) or (with_room and now.zone.search_alternate_zones and now.image.only_zone_id is None):
        return None
    if with_room and now.image.only_zone_id is None:
        return DecisiveSetting(
            object=ObjectRef("zone", now.zone.zone_id),
            owner=f"zone {now.zone.zone_name}",
            name="search_alternate_zones",
            title="Search Alternate Zones",
            value=False,
            source="own",
            needs="zones_modify",
            suggested=True,
            after=f"A session can be placed in zone {with_room[0].zone_name}.",
        )
    return setting_for_room(own)


def _setting_for_pool(now: LaunchNow) -> DecisiveSetting | None:
    """Return the setting that excludes the user from the pool of the own zone that fits best."""
    pools = [(violations(now.facts, pool.permissions), pool) for pool in now.pools if pool.zone_id == now.zone.zone_id]
    if not pools:
        return None
    found, pool = min(pools, key=lambda each: (len(each[0]), each[1].paused, each[1].staging_config_id))
    if not found and pool.paused:
        setting = _pool_setting(now, pool, "paused", "Paused", value=True, suggested=False)
        return replace(setting, after="The pool assigns its sessions again.")
    return _setting_of(now, pool, found[0].setting) if len(found) == 1 else None


def _setting_of(now: LaunchNow, pool: StagedPool, name: str) -> DecisiveSetting | None:
    """Return the setting that ends the only violation, which is of the rule about the setting `name`."""
    after = f"The staged sessions of {now.image.friendly_name} are for this user."
    if name == "permissions":
        names = differing_permissions(permissions_of(now.facts.settings), pool.permissions)
        value = bool(pool.permissions.get(names[0]))
        setting = _pool_setting(now, pool, names[0], "", value=value, suggested=not value)
        return replace(setting, after=after) if len(names) == 1 else None
    off = SETTINGS[name].default if name in SETTINGS else None
    if off is None:
        return None
    setting = group_setting(now.facts.settings[name], now.memberships, now.all_users_id)
    changed = replace(now.facts, settings=resolve(changed_groups(now.memberships, setting, off)))
    if violations(changed, pool.permissions):
        return None
    return replace(setting, suggested=off if isinstance(off, (bool, str)) else None, after=after)


def _pool_setting(
    now: LaunchNow, pool: StagedPool, name: str, title: str, *, value: bool, suggested: bool
) -> DecisiveSetting:
    return DecisiveSetting(
        object=ObjectRef("staging_config", pool.staging_config_id),
        owner=f"pool {now.image.friendly_name} in zone {now.zone.zone_name}",
        name=name,
        title=title if name not in STAGED_PERMISSIONS else "",
        value=value,
        source="own",
        needs="staging_modify",
        suggested=suggested,
    )
