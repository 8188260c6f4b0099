"""The times at which an Agent checks the registry again for an image that it has."""

from __future__ import annotations

import pytest

from greenroom.core.workspace.definition import PullPolicy, Refresh, may_be_refreshed

NOW = float("-inf")


@pytest.mark.parametrize(
    ("policy", "request_s", "done", "due"),
    [
        ("missing", 0.0, Refresh(), None),
        ("missing", 5.0, Refresh(), NOW),
        ("missing", 5.0, Refresh().succeeded(100.0, 5.0), None),
        ("missing", 6.0, Refresh().succeeded(100.0, 5.0), NOW),
        ("always", 0.0, Refresh(), NOW),
        ("always", 0.0, Refresh().succeeded(100.0, 0.0), 1000.0),
        ("daily", 0.0, Refresh().succeeded(100.0, 0.0), 86_500.0),
        ("daily", 0.0, Refresh().failed_at(100.0, "away"), 160.0),
        ("daily", 0.0, Refresh().failed_at(100.0, "away").failed_at(200.0, "away"), 320.0),
        ("always", 0.0, Refresh().failed_at(100.0, "away").succeeded(200.0, 0.0), 1100.0),
        ("missing", 5.0, Refresh().succeeded(100.0, 4.0).failed_at(200.0, "away"), 260.0),
    ],
)
def test_the_registry_is_asked_when_the_policy_or_a_request_says_so(
    policy: PullPolicy, request_s: float, done: Refresh, due: float | None
):
    assert done.due(policy, request_s) == due


@pytest.mark.parametrize(
    ("name", "has_recipe", "changes"),
    [("a/b:latest", False, True), ("a/b@sha256:" + "0" * 64, False, False), ("greenroom/desktop:xfce", True, False)],
)
def test_only_a_tag_of_a_registry_can_move(name: str, has_recipe: bool, changes: bool):
    assert may_be_refreshed(name, has_recipe=has_recipe) is changes
