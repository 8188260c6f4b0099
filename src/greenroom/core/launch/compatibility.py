"""The rules that decide whether a launch can get a staged session (docs/reference/staging.md).

The container of a staged session is created before its user is known. Therefore a launch with a setting that a
container can get only at its creation violates a rule (`RULES`). Each violation names the setting and the groups that
set it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from greenroom.core.access.group_settings import STAGED_PERMISSIONS, EffectiveSetting, permissions_of, resolve
from greenroom.core.workspace.homes import STORED_HOMES_PATH
from greenroom.core.workspace.session_spec import Exec
from greenroom.core.workspace.volumes import USER_TOKENS, VolumeMappings, is_writable

AT_CREATION: Final = "when a container is created, so a staged session cannot have it"
ALL_AT_CREATION: Final = "when a container is created, so a staged session cannot have them"
"""The ends of the reasons of violations, for one value and for several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchFacts:
    """The settings of a user, a workspace and a launch, as the rules read them.

    `settings` come from `core.access.group_settings.resolve`. `persistent_profile_mode` is Enabled, Disabled, Reset, or
    None = Enabled. `image_volume_mappings` maps paths of the host to options. `assign` is the command of the workspace
    at the hand-over, which receives `kasm_url`. `language` and `timezone` are preferences of the user, not of a
    browser. `has_ssh_keys` is also True if the user is not known. `filters_disabled` is True if the workspace has no
    web filter, even if a group has a policy.
    """

    settings: Mapping[str, EffectiveSetting] = field(default_factory=lambda: resolve(()))
    persistent_profile_path: str | None = None
    persistent_profile_mode: str | None = None
    image_volume_mappings: VolumeMappings = field(default_factory=VolumeMappings)
    assign: Exec | None = None
    language: str | None = None
    timezone: str | None = None
    has_ssh_keys: bool = True
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    network_id: str | None = None
    kasm_url: str | None = None
    filter_policy: str | None = None
    filters_disabled: bool = False

    def value(self, name: str) -> Any:
        return self.settings[name].value

    def profile_is_applied(self) -> bool:
        """True if the session gets the persistent profile of the workspace."""
        return (
            bool(self.persistent_profile_path)
            and profile_is_allowed(self.settings["allow_persistent_profile"], self.persistent_profile_path)
            and self.persistent_profile_mode != "Disabled"
        )

    def writes_to_the_host(self) -> bool:
        """True if the session can write to a folder of its host: a persistent profile or a writable volume."""
        mappings = (self.image_volume_mappings, self.value("volume_mapping"))
        return self.profile_is_applied() or any(is_writable(mapping) for mapping in mappings)

    def missing_profile_warning(self) -> str | None:
        """Return the reason why a setting of groups prevents the use of the workspace's persistent profile, as a
        sentence; None if none does."""
        if self.profile_is_applied() or not self.persistent_profile_path or self.persistent_profile_mode == "Disabled":
            return None
        groups = ", ".join(self.settings["allow_persistent_profile"].groups)
        source = f"group {groups}" if groups else "no group enables it"
        return (
            "The workspace's persistent profile is not used: allow_persistent_profile is off for the user "
            f"({source}), so the files of the session are deleted when it ends."
        )


def profile_is_allowed(setting: EffectiveSetting, path: str | None) -> bool:
    """True if `allow_persistent_profile` (`setting`) permits a profile of a user at this path. Homes that Greenroom
    keeps are permitted unless a group forbids them. Other folders of a host are permitted only if a group allows them.
    """
    return bool(setting.value) or (path == STORED_HOMES_PATH and not setting.groups)


@dataclass(frozen=True, slots=True)
class Violation:
    """The violation of a rule: the `setting` that excludes staged sessions, and the names of the groups that set it."""

    code: str
    setting: str
    group: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of `RULES`. `check` gets the launch and the permissions of the staged sessions. It returns the reason of a
    violation as the end of a sentence; None if the launch does not violate the rule."""

    code: str
    setting: str
    check: Callable[[LaunchFacts, Mapping[str, bool]], str | None]


def violations(facts: LaunchFacts, staged_permissions: Mapping[str, bool]) -> tuple[Violation, ...]:
    """Return the violations that prevent a launch from getting a staged session with `staged_permissions`."""
    violated: list[Violation] = []
    for rule in RULES:
        sentence = rule.check(facts, staged_permissions)
        if sentence is not None:
            group = ", ".join(_groups(rule, facts, staged_permissions))
            source = f" (group {group})" if group else ""
            violated.append(Violation(rule.code, rule.setting, group or None, f"{rule.setting}{source}: {sentence}"))
    return tuple(violated)


def unused_profile_warning(friendly_name: str, path: str | None, users: Iterable[LaunchFacts]) -> str | None:
    """Return the reason why no user can use the persistent profile of a workspace; None if a user can, or if `path` is
    empty. `users` has one entry for each set of users with equal groups who may use the workspace."""
    if not path or not all(facts.missing_profile_warning() for facts in users):
        return None
    return (
        f"No user gets the persistent profile of {friendly_name}: allow_persistent_profile is off in the "
        "groups of all users who may use it, so the files of users are deleted with their sessions. "
        "Enable the setting in one of those groups."
    )


def _groups(rule: Rule, facts: LaunchFacts, staged_permissions: Mapping[str, bool]) -> Sequence[str]:
    """Return the groups that set the setting of the rule; empty if the value comes from a default, the workspace, the
    user or the request.
    """
    names: Sequence[str] = [rule.setting]
    if rule.code == "permissions":
        names = differing_permissions(permissions_of(facts.settings), staged_permissions)
    return list(
        dict.fromkeys(group for name in names if name in facts.settings for group in facts.settings[name].groups)
    )


def differing_permissions(effective: Mapping[str, bool], staged_permissions: Mapping[str, bool]) -> Sequence[str]:
    """Return the permissions that differ between a user and the staged sessions. They must match exactly."""
    return [name for name in STAGED_PERMISSIONS if bool(effective.get(name)) != bool(staged_permissions.get(name))]


def _persistent_profile(facts: LaunchFacts, _staged: Mapping[str, bool]) -> str | None:
    why = f"the workspace has a persistent profile, which is mounted {AT_CREATION}"
    return why if facts.profile_is_applied() else None


def _image_volume_mapping(facts: LaunchFacts, _staged: Mapping[str, bool]) -> str | None:
    paths = sorted(path for path in facts.image_volume_mappings if any(token in path for token in USER_TOKENS))
    return f"the workspace's volume mapping {paths[0]} needs the user's name or id {AT_CREATION}" if paths else None


def _rule_if_set(name: str, sentence: str, applies: Callable[[LaunchFacts], object] = lambda _: True) -> Rule:
    """Return the rule of a group setting. A launch violates it if the setting is true or not empty, and `applies` is
    true for the launch."""
    return Rule(name, name, lambda facts, _: sentence if facts.value(name) and applies(facts) else None)


def _permissions(facts: LaunchFacts, staged: Mapping[str, bool]) -> str | None:
    effective = permissions_of(facts.settings)
    parts = [
        f"{name} is {_on_or_off(effective[name])} for the user and {_on_or_off(staged.get(name))} in the staging config"
        for name in differing_permissions(effective, staged)
    ]
    return f"{', '.join(parts)}, so its sessions are not for this user" if parts else None


def _on_or_off(value: object) -> str:
    return "on" if value else "off"


def _preference(noun: str, value_of: Callable[[LaunchFacts], str | None]) -> Callable[..., str | None]:
    """Return the check of the user's preferred language or time zone. It finds no violation if a group allows staged
    sessions with another value."""

    def check(facts: LaunchFacts, _staged: Mapping[str, bool]) -> str | None:
        if not value_of(facts) or facts.value("staged_session_language_and_timezone_preference_override"):
            return None
        return f"the user's {noun} {value_of(facts)} is set {AT_CREATION}"

    return check


def _launch_options(facts: LaunchFacts, _staged: Mapping[str, bool]) -> str | None:
    names = [
        name
        for name, value in (
            ("environment", facts.environment),
            ("network_id", facts.network_id),
            ("kasm_url", facts.kasm_url if facts.assign is None else None),
            ("egress", facts.filter_policy),  # `egress` is the field of a lease request that contains the policy
        )
        if value
    ]
    suffix = AT_CREATION if len(names) == 1 else ALL_AT_CREATION
    return f"the request asks for {', '.join(names)}, set {suffix}" if names else None


RULES: Final[tuple[Rule, ...]] = (
    Rule("persistent_profile", "persistent_profile_path", _persistent_profile),
    Rule("image_volume_mapping", "volume_mappings", _image_volume_mapping),
    _rule_if_set("expose_user_environment_vars", f"the user's variables are set {ALL_AT_CREATION}"),
    _rule_if_set("inject_ssh_keys", f"the user's keys are added {ALL_AT_CREATION}", lambda facts: facts.has_ssh_keys),
    _rule_if_set("run_config", f"the group's run config is used {AT_CREATION}"),
    _rule_if_set("volume_mapping", f"the group's volumes are mounted {ALL_AT_CREATION}"),
    _rule_if_set(
        "web_filter_policy",
        f"the group's web filter is chosen {AT_CREATION}; a policy of the workspace does not exclude staging",
        lambda facts: not facts.filters_disabled,
    ),
    Rule("permissions", "permissions", _permissions),
    Rule("language_or_timezone", "preferred_language", _preference("language", lambda facts: facts.language)),
    Rule("language_or_timezone", "preferred_timezone", _preference("time zone", lambda facts: facts.timezone)),
    Rule("launch_options", "launch_options", _launch_options),
)
