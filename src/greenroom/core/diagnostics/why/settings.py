"""Why a group setting has its value for a user, and the users and pools that a change in one group affects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from greenroom.core.access.group_settings import (
    SETTINGS,
    EffectiveSetting,
    GroupSettings,
    SettingValues,
    rank,
    resolve,
    resolve_one,
    value_text,
)
from greenroom.core.diagnostics.sentences import ObjectRef, SentencePart
from greenroom.core.diagnostics.why.model import (
    Affected,
    DecisionStep,
    DecisiveSetting,
    ExplainedDecision,
    Fact,
    Source,
    Value,
    parts_of,
)
from greenroom.core.launch.compatibility import violations
from greenroom.core.launch.request import facts_of_members
from greenroom.core.workspace.spec_builder import ImageFacts

MAX_EVALUATIONS: Final = 5_000
"""The maximum number of pairs of a set of groups and a pool that are compared, so that an answer takes little time."""


def setting_decision(
    username: str, name: str, memberships: Sequence[GroupSettings], all_users_id: str
) -> ExplainedDecision:
    """Return why the setting has its value for a user in these groups."""
    setting, effective = SETTINGS[name], resolve_one(name, memberships)
    steps = [_group_step(group, name, effective) for group in sorted(memberships, key=rank)]
    decisive = next((number for number, step in enumerate(steps) if step.decides), len(steps))
    if setting.kind != "mapping":
        steps[decisive + 1 :] = [
            replace(step, result="unreached", reason=(), facts=()) for step in steps[decisive + 1 :]
        ]
    default = DecisionStep(
        rule="The default of Greenroom",
        result="unreached" if effective.groups else "passed",
        reason=() if effective.groups else parts_of("No group of the user sets it."),
        facts=(Fact("Default", value_text(setting.default)),),
        decides=not effective.groups,
    )
    return ExplainedDecision(
        question=f"Why is `{name}` = {value_text(effective.value)} for {username}?",
        answer=parts_of(f"{effective.trace}."),
        tone="neutral",
        steps=(*steps, default),
        setting=group_setting(effective, memberships, all_users_id),
    )


def _group_step(group: GroupSettings, name: str, effective: EffectiveSetting) -> DecisionStep:
    ref = ObjectRef("group", group.group_id)
    rule = f"Group {group.name}, priority {group.priority}"
    if name not in group.settings:
        return DecisionStep(
            rule=rule, result="passed", reason=parts_of(SentencePart(group.name, ref), " does not set it.")
        )
    is_first = group.name == effective.groups[0]
    decided = is_first or SETTINGS[name].kind == "mapping"
    return DecisionStep(
        rule=rule,
        result="stopped" if decided else "unreached",
        reason=parts_of(SentencePart(group.name, ref), " sets it."),
        facts=(Fact("Value", value_text(group.settings[name])),),
        decides=is_first,
    )


def group_setting(
    effective: EffectiveSetting, memberships: Sequence[GroupSettings], all_users_id: str
) -> DecisiveSetting:
    """Return the group setting that decides the value for a user. If no group sets it, it can be set for all users."""
    setting = SETTINGS[effective.name]
    group = next((each for each in memberships if each.name in effective.groups[:1]), None)
    source: Source = "default" if group is None else "global" if group.group_id == all_users_id else "group"
    # A mapping may contain secrets, and a text has no opposite.
    value = value_text(effective.value) if setting.kind == "mapping" else cast("Value", effective.value)
    return DecisiveSetting(
        object=ObjectRef("group", group.group_id if group else all_users_id),
        owner=f"group {group.name}" if group else "the default of Greenroom",
        name=effective.name,
        title="",
        value=value,
        source=source,
        needs="groups_modify",
        unit=setting.unit,
        suggested=not value if setting.kind == "bool" else None,
        before=f"{effective.trace}.",
    )


def with_group_value(setting: DecisiveSetting, memberships: Sequence[GroupSettings], value: object) -> DecisiveSetting:
    """Return the setting with `value` as the suggestion, and the result for a user in these groups."""
    after = resolve_one(setting.name, changed_groups(memberships, setting, value))
    return replace(setting, suggested=cast("Value", value), after=f"{after.trace}.")


def changed_groups(
    memberships: Iterable[GroupSettings], setting: DecisiveSetting, value: object
) -> list[GroupSettings]:
    """Return the groups with this value in the group of the setting."""
    group_id = setting.object.id if setting.object else ""
    return [
        GroupSettings(each.group_id, each.name, each.priority, _with_value(each.settings, setting.name, value))
        if each.group_id == group_id
        else each
        for each in memberships
    ]


def _with_value(settings: SettingValues, name: str, value: object) -> dict[str, Any]:
    return {**settings, name: value}


@dataclass(frozen=True, slots=True)
class UsersOfGroups:
    """The number of users who are in exactly these groups, and the workspaces that they may use."""

    number: int
    groups: tuple[GroupSettings, ...]
    image_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class ComparedPool:
    """A pool, for a comparison of its sessions with the settings of users."""

    staging_config_id: str
    image: ImageFacts
    permissions: Mapping[str, bool]


def affected_by(setting: DecisiveSetting, everyone: Sequence[UsersOfGroups], pools: Sequence[ComparedPool]) -> Affected:
    """Return the users whose value changes with the suggestion, the pools whose sessions then fit other users, and the
    workspaces of these pools. Without a suggestion, all members count whose value comes from the group.
    """
    group_id, users = setting.object.id if setting.object else "", 0
    changed: list[tuple[UsersOfGroups, list[GroupSettings]]] = []
    for each in everyone:
        if group_id not in {group.group_id for group in each.groups}:
            continue
        before = resolve_one(setting.name, each.groups)
        if setting.suggested is None:
            sources = before.groups[:1]
            names = {group.name for group in each.groups if group.group_id == group_id}
            users += each.number if set(sources) == names or (not sources and setting.source == "default") else 0
            continue
        groups = changed_groups(each.groups, setting, setting.suggested)
        if before.value != resolve_one(setting.name, groups).value:
            users += each.number
            changed.append((each, groups))
    if setting.suggested is None or len(changed) * len(pools) > MAX_EVALUATIONS:
        return Affected(users=users)
    compared = [(each.image_ids, resolve(each.groups), resolve(groups)) for each, groups in changed if pools]
    touched = [pool for pool in pools if any(_differs(pool, *each) for each in compared)]
    return Affected(users=users, pools=len(touched), workspaces=len({pool.image.image_id for pool in touched}))


def _differs(
    pool: ComparedPool,
    image_ids: frozenset[str],
    before: Mapping[str, EffectiveSetting],
    after: Mapping[str, EffectiveSetting],
) -> bool:
    """True if the sessions of the pool are for users with these workspaces either before or after a change of their
    settings, but not both."""
    if pool.image.image_id not in image_ids:
        return False
    fits_before, fits_after = (
        not violations(facts_of_members(settings, pool.image), pool.permissions) for settings in (before, after)
    )
    return fits_before != fits_after
