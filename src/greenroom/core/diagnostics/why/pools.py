"""Why a pool of staged sessions is short or full, and the setting that would fill it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from greenroom.core.diagnostics.attention import pool_help
from greenroom.core.diagnostics.sentences import ObjectRef, SentencePart
from greenroom.core.diagnostics.why.agents import PlacementFacts, image_setting, setting_for_room
from greenroom.core.diagnostics.why.model import (
    DecisionStep,
    DecisiveSetting,
    ExplainedDecision,
    Fact,
    Value,
    first_facts,
    ordered_steps,
    parts_of,
    text_of,
)
from greenroom.core.launch.placement import place
from greenroom.core.pool.model import Shortfall
from greenroom.core.pool.shortfalls import POOL_RULES, PoolRule, PoolState, decided_shortfall, effective_refill_problem
from greenroom.core.text import counted
from greenroom.core.workspace.spec_builder import ImageFacts

_TITLES: Final[dict[PoolRule, str]] = {
    "number": "It has the desired number of sessions",
    "obstacle": "The workspace can be staged in the zone",
    "pause": "It is not paused",
    "manager": "A Manager of the zone runs",
    "plan": "The Primary can start the missing sessions",
    "start": "The missing sessions are usable",
}
"""The rules as statements. A full pool passes the first one, so the other rules are not reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolFacts:
    """A pool, with the input of the placement of its sessions. `placement.image` is its workspace."""

    staging_config_id: str
    zone_id: str
    state: PoolState
    image: ImageFacts
    placement: PlacementFacts
    failures: int = 0

    @property
    def title(self) -> str:
        return f"{self.image.friendly_name} in zone {self.placement.zone_name}"


def pool_decision(pool: PoolFacts) -> ExplainedDecision:
    """Return why the pool has fewer sessions than desired or will have fewer soon, or that it is full."""
    rule, shortfall = decided_shortfall(pool.state)
    subject = SentencePart(pool.title, ObjectRef("staging_config", pool.staging_config_id))
    steps = [DecisionStep(rule=_TITLES[each], result="stopped", facts=_facts(each, pool)) for each in POOL_RULES]
    problem = effective_refill_problem(pool.state)
    if problem is not None:
        return _full_without_refill(pool, problem, subject)
    if shortfall is None:
        steps[0] = replace(steps[0], result="passed", reason=parts_of("The pool is full."))
        return ExplainedDecision(
            question=f"Is the pool {pool.title} full?",
            answer=parts_of("Pool ", subject, " is full."),
            tone="ready",
            steps=ordered_steps(steps, 0),
        )
    index = POOL_RULES.index(rule)
    steps[index] = replace(steps[index], reason=parts_of(text_of(shortfall.reason)))
    ordered = ordered_steps(steps, index)
    # The first rule only asks whether sessions are missing, and they are.
    missing = replace(ordered[0], reason=parts_of(_missing_text(pool.state)))
    return ExplainedDecision(
        question=f"Why is the pool {pool.title} short?",
        answer=parts_of("Pool ", subject, f": {text_of(shortfall.reason)}"),
        tone="failure" if shortfall.needs_action else "warning",
        steps=(replace(missing, result="stopped"), *ordered[1:]),
        setting=_setting(pool, shortfall),
        help=pool_help(shortfall, pool.image.image_id, pool.zone_id),
    )


def _full_without_refill(pool: PoolFacts, problem: Shortfall, subject: SentencePart) -> ExplainedDecision:
    """Return that the pool is full, and why its next session cannot start."""
    reason = text_of(problem.reason)
    full = DecisionStep(
        rule=_TITLES["number"], result="passed", reason=parts_of("The pool is full."), facts=_facts("number", pool)
    )
    refill = DecisionStep(
        rule="Its next session can start", result="stopped", reason=parts_of(reason), facts=_facts("plan", pool)
    )
    return ExplainedDecision(
        question=f"Will the pool {pool.title} stay full?",
        answer=parts_of("Pool ", subject, f" is full. {reason}"),
        tone="failure" if problem.needs_action and problem.code != "no-capacity" else "warning",
        steps=ordered_steps([full, refill], 1),
        setting=_setting(pool, problem),
        help=pool_help(problem, pool.image.image_id, pool.zone_id),
    )


def _missing_text(state: PoolState) -> str:
    missing = state.num_sessions - state.current
    verb = "is" if missing == 1 else "are"
    return f"{missing} of {counted(state.num_sessions, 'session')} {verb} missing. The next rules say why."


def _facts(rule: PoolRule, pool: PoolFacts) -> tuple[Fact, ...]:
    """Return the inputs of a rule."""
    state = pool.state
    match rule:
        case "number":
            return (
                Fact("Desired", str(state.num_sessions)),
                Fact("Ready", str(state.current)),
                Fact("Starting", str(state.starting)),
            )
        case "obstacle":
            return (Fact("Workspace", "enabled" if pool.image.enabled else "disabled"),)
        case "pause":
            return (Fact("Paused", "yes" if state.is_paused else "no"),)
        case "manager":
            return (Fact("A Manager runs", "yes" if state.has_manager else "no"),)
        case "plan":
            return (*((Fact("Failed starts in a row", str(pool.failures)),) if pool.failures else ()), *_agents(pool))
        case _:
            return (Fact("Starting", str(state.starting)),)


def _agents(pool: PoolFacts) -> tuple[Fact, ...]:
    """Return what each Agent of the zone says to a further session now."""
    placed = place(pool.placement.agents, pool.placement.request, pool.placement.strategy)
    facts = [
        *(Fact(each.hostname, "has room", ObjectRef("agent", each.agent_id)) for each in placed.candidates),
        *(
            Fact(each.agent.hostname, text_of(each.reason), ObjectRef("agent", each.agent.agent_id))
            for each in placed.rejected
        ),
    ]
    return first_facts(facts, "Agents")


def _setting(pool: PoolFacts, shortfall: Shortfall) -> DecisiveSetting | None:
    """Return the setting that would end the shortfall; None if no single setting would."""
    state, setting = pool.state, None
    match shortfall.code:
        case "paused":
            setting = _config_setting(pool, "paused", "Paused", value=True, suggested=False)
            after = decided_shortfall(replace(state, is_paused=False))[1]
            setting = replace(setting, after=after.reason if after else "The pool is full.")
        case "image-disabled":
            setting = image_setting(pool.image, "enabled", "Enabled", value=False, suggested=True)
            after = decided_shortfall(replace(state, obstacle=None))[1]
            setting = replace(setting, after=after.reason if after else "The pool is full.")
        case "no-capacity" | "no-agent":
            room = setting_for_room(pool.placement)
            is_smaller = room is None or room.object == ObjectRef("image", pool.image.image_id)
            setting = (_fewer(pool) if is_smaller and pool.state.current < pool.state.num_sessions else None) or room
        case _:
            return None
    return setting and replace(setting, before=text_of(shortfall.reason))


def _fewer(pool: PoolFacts) -> DecisiveSetting | None:
    """Return the desired number with which the pool is full; None if it has no session."""
    state = pool.state
    if state.current == 0:
        return None
    setting = _config_setting(
        pool, "num_sessions", "Desired Sessions", value=state.num_sessions, suggested=state.current
    )
    return replace(setting, after=f"The pool is full with {counted(state.current, 'session')}.")


def _config_setting(pool: PoolFacts, name: str, title: str, *, value: Value, suggested: Value) -> DecisiveSetting:
    return DecisiveSetting(
        object=ObjectRef("staging_config", pool.staging_config_id),
        owner=f"pool {pool.title}",
        name=name,
        title=title,
        value=value,
        source="own",
        needs="staging_modify",
        suggested=suggested,
    )
