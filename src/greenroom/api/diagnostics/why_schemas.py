"""The answers to "Why?"."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field

from greenroom.api.bodies import View
from greenroom.api.diagnostics.today_routes import HelpView, ObjectRefView, PartView
from greenroom.core.diagnostics.why.model import (
    Affected,
    DecisionStep,
    DecisiveSetting,
    ExplainedDecision,
    Fact,
    Source,
    StepResult,
    Value,
    sentence_of,
)


class FactView(View, row=Fact):
    """An input of a rule."""

    object: ObjectRefView | None


class DecisionStepView(View, row=DecisionStep):
    """A rule that was checked, in its order."""

    result: Annotated[StepResult, Field(description="unreached = an earlier rule decided")]
    reason: list[PartView]
    facts: list[FactView]


class AffectedView(View, row=Affected):
    """The numbers of users, pools and workspaces that a setting affects; null = not counted."""


class DecisiveSettingView(View, row=DecisiveSetting):
    """The setting that would change the decision, and the result of the suggested value."""

    object: Annotated[ObjectRefView | None, Field(description="the object with the setting; null = not visible")]
    title: Annotated[str, Field(description="empty for group settings, whose names have titles in the console")]
    source: Annotated[
        Source, Field(description="own = the object itself, global = all users, default = no group sets it")
    ]
    suggested: Annotated[Value, Field(description="value with which the decision would be `after`; null = unknown")]
    needs: Annotated[str, Field(description="permission to change it")]
    affected: AffectedView


class DecisionView(View, row=ExplainedDecision):
    """A decision, with the rules in the order in which they were checked."""

    answer: Annotated[list[PartView], Field(description="the answer in parts, with the objects that it names")]
    sentence: Annotated[str, Field(description="the answer as text")]
    steps: list[DecisionStepView]
    setting: DecisiveSettingView | None
    help: HelpView | None


def decision_view(decision: ExplainedDecision) -> DecisionView:
    """Return the decision as an answer. Without another sentence, the answer is the result before a change."""
    sentence, setting = sentence_of(decision.answer), decision.setting
    if setting is not None and not setting.before:
        decision = replace(decision, setting=replace(setting, before=sentence))
    return DecisionView.of(decision, sentence=sentence)
