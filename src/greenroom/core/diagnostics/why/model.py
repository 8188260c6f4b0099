"""A decision as its reader sees it: the question, the answer, the checked rules in their order, and the setting that
would change it.

No function of this package decides anything. The steps come from the functions that decide, such as
`core.launch.placement.obstacle_of`, and a preview calls these functions again with the changed setting.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from greenroom.core.diagnostics.sentences import Help, ObjectRef, SentencePart

StepResult = Literal["passed", "stopped", "unreached"]
"""`unreached`: a rule before it decided."""
Tone = Literal["ready", "warning", "failure", "neutral"]
"""`ready`: it works. `warning`: it works, but slowly or not at once. `failure`: it was refused or does not work."""
Source = Literal["own", "group", "global", "default"]
"""Where a value comes from: `own` = the object itself, `group` = a group, `global` = all users or the whole
installation, `default` = no group sets it."""
Value = bool | int | float | str | None
MAX_FACTS: Final = 12
"""The maximum number of facts of a step, so that a zone with many Agents fits into the answer."""


@dataclass(frozen=True, slots=True)
class Fact:
    """An input of a rule: its name and its value as text."""

    name: str
    value: str
    object: ObjectRef | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionStep:
    """A rule that was checked. `reason` is a sentence in parts; `decides` is True for the rule that decided."""

    rule: str
    result: StepResult
    reason: tuple[SentencePart, ...] = ()
    facts: tuple[Fact, ...] = ()
    decides: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Affected:
    """The numbers of users, pools and workspaces that a setting affects; None = not counted."""

    users: int | None = None
    pools: int | None = None
    workspaces: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisiveSetting:
    """The setting that would change the decision.

    `object` has the setting; None if the reader may not know it. `name` is the name of the field or group setting, and
    `owner` names the object. `needs` is the permission to change it. `suggested` is the value with which the decision
    would be `after`, a sentence; `before` is the present one.
    """

    object: ObjectRef | None
    owner: str
    name: str
    title: str
    value: Value
    source: Source
    needs: str
    unit: str = ""
    suggested: Value = None
    before: str = ""
    after: str = ""
    affected: Affected = Affected()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedDecision:
    """A decision, with its steps in the order in which the rules were checked."""

    question: str
    answer: tuple[SentencePart, ...]
    tone: Tone
    steps: tuple[DecisionStep, ...]
    setting: DecisiveSetting | None = None
    help: Help | None = None


def parts_of(*parts: SentencePart | str) -> tuple[SentencePart, ...]:
    """Return the parts of a sentence."""
    return tuple(SentencePart(part) if isinstance(part, str) else part for part in parts)


def sentence_of(parts: Iterable[SentencePart]) -> str:
    """Return the sentence in parts as text."""
    return "".join(part.text for part in parts)


def text_of(reason: str) -> str:
    """Return a reason with one full stop. Its first letter stays: it may be that of a host name."""
    return f"{reason.rstrip('. ')}." if reason.strip() else ""


def first_facts(facts: Sequence[Fact], noun: str) -> tuple[Fact, ...]:
    """Return at most `MAX_FACTS` facts; the last one has the number of the omitted ones."""
    if len(facts) <= MAX_FACTS:
        return tuple(facts)
    return (*facts[: MAX_FACTS - 1], Fact("More", f"{len(facts) - MAX_FACTS + 1} more {noun}"))


def ordered_steps(steps: Sequence[DecisionStep], decisive: int) -> tuple[DecisionStep, ...]:
    """Return the steps of rules of which the first that stops decides. `decisive` is the index of the deciding rule:
    the rules before it passed, and those after it were not reached.
    """
    before = (replace(step, result="passed") for step in steps[:decisive])
    after = (replace(step, result="unreached", reason=(), facts=()) for step in steps[decisive + 1 :])
    return (*before, replace(steps[decisive], decides=True), *after)
