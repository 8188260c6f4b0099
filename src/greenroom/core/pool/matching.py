"""The users that a staging config does not serve, by the settings that exclude them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from greenroom.core.access.group_settings import permissions_of
from greenroom.core.launch.compatibility import LaunchFacts, differing_permissions, violations


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Why a user gets no session of a staging config.

    `reasons` are the permissions that differ. A config with the permissions of the user, which are `permissions`, would
    serve the user. If no config would, `permissions` is None, and `reasons` are the codes of the violated rules.
    `groups` are the names of the groups that set these settings.
    """

    reasons: tuple[str, ...]
    groups: tuple[str, ...]
    permissions: tuple[tuple[str, bool], ...] | None


def exclusion_of(facts: LaunchFacts, permissions: Mapping[str, bool]) -> Exclusion | None:
    """Return the reason why such a launch gets no session of a config with `permissions`; None if it gets one."""
    own = permissions_of(facts.settings)
    if others := violations(facts, own):
        setters = (facts.settings[each.setting].groups for each in others if each.setting in facts.settings)
        groups = dict.fromkeys(group for names in setters for group in names)
        return Exclusion(tuple(violation.code for violation in others), tuple(groups), None)
    differing = tuple(differing_permissions(own, permissions))
    if not differing:
        return None
    sources = dict.fromkeys(group for name in differing for group in facts.settings[name].groups)
    return Exclusion(differing, tuple(sources), tuple(own.items()))


def count_excluded(users: Iterable[tuple[int, LaunchFacts]], permissions: Mapping[str, bool]) -> dict[Exclusion, int]:
    """Return the numbers of excluded users by reason, highest first. `users` has the number of each set of users with
    equal groups."""
    counts = Counter[Exclusion]()
    for number, facts in users:
        if exclusion := exclusion_of(facts, permissions):
            counts[exclusion] += number
    return dict(counts.most_common())
