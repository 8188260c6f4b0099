"""Why for users: their own launch and their own permissions, in plain words and without names of machines, zones,
pools and groups."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from greenroom.core.access.group_settings import SETTINGS, EffectiveSetting, value_text
from greenroom.core.access.permissions import PERMISSIONS, allows, grants_with, implied_codes
from greenroom.core.access.roles import ROLE_PREFIX, ROLES, code_of
from greenroom.core.diagnostics.why.model import (
    DecisionStep,
    DecisiveSetting,
    ExplainedDecision,
    Fact,
    Source,
    Tone,
    parts_of,
)
from greenroom.core.launch.forecast import LIMIT_REACHED, ForecastCheck, refusal_for_user
from greenroom.core.launch.plan import Miss, TraceStep

LIMIT: Final = "max_kasms_per_user"
_NUMBER: Final = "You have fewer sessions than your maximum"
_QUEUE: Final = "The queue of launches has room"
_READY: Final = "A session is ready for you"
_NEW: Final = "A machine has room for a new session"
QUEUE_FULL: Final = "Too many people launched at the same time. Try again in some seconds."
_NO_READY: Final[dict[str, str]] = {
    "pool_empty": "No ready session was free.",
    "permissions": "The ready sessions have other permissions than you.",
    "persistent_profile": "Your files are kept, so a session is made for you.",
    "image_volume_mapping": "This workspace needs your name when a session is made.",
    "language_or_timezone": "Your language or time zone is set when a session is made.",
    "launch_options": "You chose options that are set when a session is made.",
}
"""Code of a miss → the reason why a ready session was not used, as a sentence for users."""
_OTHER_REASON: Final = "Your settings need a session that is made for you."


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnLaunch:
    """A launch of the reader that was made or is possible now. `staged_code` is the code of the first reason against a
    staged session. `on_demand` are the reasons against a new session; None = the launch gets a staged session.
    """

    friendly_name: str
    staged_code: str
    on_demand: tuple[Miss, ...] | None
    seconds: float | None = None
    is_queue_full: bool = False


def own_launch_of_trace(friendly_name: str, trace: Sequence[TraceStep], waited_s: float | None) -> OwnLaunch:
    """Return a launch of the ledger in the form of `OwnLaunch`."""
    used = trace[-1] if trace and trace[-1].used else None
    missed = tuple(Miss(s.code or "", s.reason) for s in trace if s.step.startswith("on_demand") and not s.used)
    return OwnLaunch(
        friendly_name=friendly_name,
        staged_code=next((s.code or "" for s in trace if s.step == "staged_here" and not s.used), ""),
        on_demand=missed if used is None else None if used.step.startswith("staged") else (),
        seconds=waited_s,
        is_queue_full=any(s.step == "turn" for s in trace),
    )


def own_launch_of_forecast(friendly_name: str, checks: Sequence[ForecastCheck], seconds: float | None) -> OwnLaunch:
    """Return a forecast in the form of `OwnLaunch`."""
    served = next((check.attempt for check in checks if not check.misses), None)
    misses = [miss for check in checks if check.attempt.staged for miss in check.misses]
    missed = tuple(miss for check in checks if not check.attempt.staged for miss in check.misses)
    if served is None and not missed:
        missed = (Miss("", ""),)  # there is no zone
    return OwnLaunch(
        friendly_name=friendly_name,
        staged_code=misses[0].code if misses else "",
        on_demand=missed if served is None else None if served.staged else (),
        seconds=seconds,
    )


def own_launch_decision(
    launch: OwnLaunch, limit: DecisiveSetting | None = None, sessions: int = 0
) -> ExplainedDecision:
    """Return why the launch is immediate, takes time or is not possible. `limit` is the maximum number of sessions of
    the user, who has this number of `sessions`; None = the launch was made, so the number was not the reason."""
    name, steps = launch.friendly_name, list[DecisionStep]()
    if limit is not None:
        facts = (Fact("Your sessions", str(sessions)), Fact("Your maximum", str(limit.value)))
        if isinstance(limit.value, int) and sessions >= limit.value:
            steps = [_stop(_NUMBER, LIMIT_REACHED, facts, decides=True), _unreached(_READY), _unreached(_NEW)]
            return _decision(f"Why is {name} not possible now?", LIMIT_REACHED, "failure", steps, limit)
        steps = [DecisionStep(rule=_NUMBER, result="passed", facts=facts)]
    if launch.is_queue_full:
        steps = [_stop(_QUEUE, QUEUE_FULL, decides=True), _unreached(_READY), _unreached(_NEW)]
        return _decision(f"Why did you get no session of {name}?", QUEUE_FULL, "failure", steps)
    if launch.on_demand is None:
        steps += [DecisionStep(rule=_READY, result="passed", decides=True), _unreached(_NEW)]
        return _decision(f"Why does {name} open at once?", "A session is ready for you.", "ready", steps)
    missed = _NO_READY.get(launch.staged_code, _OTHER_REASON)
    if launch.on_demand:
        refusal = refusal_for_user(launch.on_demand)
        steps += [_stop(_READY, missed), _stop(_NEW, refusal, decides=True)]
        return _decision(f"Why is there no session of {name}?", refusal, "failure", steps)
    steps += [_stop(_READY, missed, decides=True), DecisionStep(rule=_NEW, result="passed")]
    seconds = "" if launch.seconds is None else f", in about {max(1, round(launch.seconds))} s"
    answer = f"{missed} A new session starts for you{seconds}."
    return _decision(f"Why does {name} take some seconds?", answer, "warning", steps)


def _decision(
    question: str, answer: str, tone: Tone, steps: Sequence[DecisionStep], setting: DecisiveSetting | None = None
) -> ExplainedDecision:
    return ExplainedDecision(question=question, answer=parts_of(answer), tone=tone, steps=tuple(steps), setting=setting)


def _stop(rule: str, reason: str, facts: tuple[Fact, ...] = (), *, decides: bool = False) -> DecisionStep:
    return DecisionStep(rule=rule, result="stopped", reason=parts_of(reason), facts=facts, decides=decides)


def _unreached(rule: str) -> DecisionStep:
    return DecisionStep(rule=rule, result="unreached")


def own_setting(effective: EffectiveSetting, source: Source) -> DecisiveSetting:
    """Return a group setting of the reader, without the names of groups."""
    owners = {"group": "one of your groups", "global": "all users", "default": "the default of Greenroom"}
    setting = SETTINGS[effective.name]
    return DecisiveSetting(
        object=None,
        owner=owners.get(source, "your account"),
        name=effective.name,
        title="",
        value=value_text(effective.value) if setting.kind == "mapping" else effective.value,
        source=source,
        needs="groups_modify",
        unit=setting.unit,
    )


@dataclass(frozen=True, slots=True)
class GroupGrants:
    """A group of the reader, with the codes and roles that it grants. An empty `name` stands for all groups of a reader
    who may not see them."""

    name: str
    grants: tuple[str, ...]


def permission_decision(code: str, groups: Sequence[GroupGrants], held: Iterable[str]) -> ExplainedDecision:
    """Return why the reader has or lacks a permission. `held` are the codes of the request: an API key or a log-in may
    have fewer codes than the groups of its user."""
    steps = [_grant_step(group, code) for group in groups]
    granting = next((number for number, step in enumerate(steps) if step.result == "passed"), None)
    may, title = allows(held, (code,)), PERMISSIONS[code]
    roles = ", ".join(ROLES[grant.removeprefix(ROLE_PREFIX)].title for grant in grants_with(code) if grant in _ROLES)
    if may:
        if granting is not None:
            steps[granting] = replace(steps[granting], decides=True)
        return _decision(f"Why may you do this: {title}?", f"You have the permission {code}.", "ready", steps)
    reason = "No group of yours grants it for the whole installation."
    if granting is not None:
        reason = "A group of yours grants it, but this API key or log-in does not have it."
    last = _stop("Your groups grant the permission", reason, (Fact("Roles with it", roles),), decides=True)
    answer = f"You lack the permission {code}. Ask an administrator for a group or a role that grants it."
    return _decision(f"Why may you not do this: {title}?", answer, "failure", [*steps, last])


_ROLES: Final = frozenset(ROLE_PREFIX + name for name in ROLES)


def _grant_step(group: GroupGrants, code: str) -> DecisionStep:
    codes = implied_codes(group.grants)
    rule = f"Group {group.name} grants it" if group.name else "Your groups grant it"
    if code in codes:
        return DecisionStep(rule=rule, result="passed")
    if any(code_of(each) == code for each in codes):
        return _stop(rule, "It grants it in the scope of a role only, such as one zone or one group.")
    return DecisionStep(rule=rule, result="stopped")
