"""Why a Manager is or is not the Primary of its zone.

The function `lease_take` of the database decides who becomes Primary; `tests/database/api/test_why.py` compares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from greenroom.core.diagnostics.sentences import ObjectRef, SentencePart
from greenroom.core.diagnostics.why.model import (
    DecisionStep,
    DecisiveSetting,
    ExplainedDecision,
    Fact,
    ordered_steps,
    parts_of,
    text_of,
)

_ENABLED: Final = "It is enabled"
_RUNS: Final = "It runs"
_FREE: Final = "It holds the leadership of the zone"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadershipFacts:
    """A Manager, for this decision. `elected` is the sentence of the log about the last Primary of the zone; empty if
    the log does not have it."""

    manager_id: str
    instance_id: str
    zone_name: str
    enabled: bool
    running: bool
    is_primary: bool
    term: int
    elected: str = ""


def manager_decision(manager: LeadershipFacts, others: Sequence[LeadershipFacts]) -> ExplainedDecision:
    """Return why the Manager is or is not Primary. `others` are the other Managers of its zone."""
    subject = SentencePart(manager.instance_id, ObjectRef("manager", manager.manager_id))
    primary = next((each for each in others if each.is_primary), None)
    holder = manager if manager.is_primary else primary
    steps = [
        DecisionStep(rule=_ENABLED, result="stopped", facts=(Fact("Enabled", "yes" if manager.enabled else "no"),)),
        DecisionStep(
            rule=_RUNS, result="stopped", facts=(Fact("Status", "running" if manager.running else "does not report"),)
        ),
        DecisionStep(
            rule=_FREE,
            result="stopped",
            facts=(
                Fact("Primary", holder.instance_id if holder else "none"),
                Fact("Term", str(manager.term)),
                *((Fact("Log", text_of(manager.elected)),) if manager.elected else ()),
            ),
        ),
    ]
    if manager.is_primary:
        steps[2] = replace(steps[2], result="passed", reason=parts_of(subject, " renews it."))
        return ExplainedDecision(
            question=f"Why is {manager.instance_id} the Primary?",
            answer=parts_of(
                subject, f" is the Primary of zone {manager.zone_name}. {text_of(manager.elected)}".rstrip()
            ),
            tone="ready",
            steps=ordered_steps(steps, 2),
            setting=_switch(manager, _after_disabling(others)) if others else None,
        )
    question = f"Why is {manager.instance_id} not the Primary?"
    if not manager.enabled:
        steps[0] = replace(steps[0], reason=parts_of("A disabled Manager never becomes Primary."))
        after = "It waits for the leadership." if primary else "It becomes Primary if it runs."
        return ExplainedDecision(
            question=question,
            answer=parts_of(subject, " is disabled."),
            tone="neutral",
            steps=ordered_steps(steps, 0),
            setting=_switch(manager, after),
        )
    if not manager.running:
        steps[1] = replace(steps[1], reason=parts_of("Check its process and its connection to the database."))
        answer = parts_of(subject, " does not report, so another Manager can take the leadership.")
        return ExplainedDecision(question=question, answer=answer, tone="failure", steps=ordered_steps(steps, 1))
    if primary is None:
        steps[2] = replace(steps[2], reason=parts_of("The leadership is free. A running Manager takes it in seconds."))
        answer = parts_of("Zone ", manager.zone_name, " has no Primary now. ", subject, " can take the leadership.")
        return ExplainedDecision(question=question, answer=answer, tone="warning", steps=ordered_steps(steps, 2))
    holds = SentencePart(primary.instance_id, ObjectRef("manager", primary.manager_id))
    steps[2] = replace(steps[2], reason=parts_of(holds, " holds it, and renews it."))
    remaining = [manager, *(each for each in others if each is not primary)]
    return ExplainedDecision(
        question=question,
        answer=parts_of(holds, f" is the Primary of zone {manager.zone_name}. ", subject, " waits."),
        tone="neutral",
        steps=ordered_steps(steps, 2),
        setting=_switch(primary, _after_disabling(remaining)),
    )


def _after_disabling(others: Sequence[LeadershipFacts]) -> str:
    """Return the result of disabling the Primary, if these are the other Managers of its zone."""
    ready = [each.instance_id for each in others if each.enabled and each.running]
    if ready:
        return f"{ready[0]} becomes Primary." if len(ready) == 1 else f"One of {', '.join(ready)} becomes Primary."
    if any(each.enabled for each in others):
        return "No Manager runs that could become Primary."
    return "It is refused: a zone needs one enabled Manager."


def _switch(manager: LeadershipFacts, after: str) -> DecisiveSetting:
    before = f"{manager.instance_id} is {'the Primary' if manager.is_primary else 'disabled'}."
    return DecisiveSetting(
        object=ObjectRef("manager", manager.manager_id),
        owner=f"Manager {manager.instance_id}",
        name="enabled",
        title="Enabled",
        value=manager.enabled,
        source="own",
        needs="managers_modify",
        suggested=not manager.enabled,
        before=before,
        after=after,
    )
