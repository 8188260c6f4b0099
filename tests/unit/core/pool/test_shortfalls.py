"""The messages about a shortfall, and the state between two rounds of the Primary."""

from __future__ import annotations

from dataclasses import replace

import pytest

from greenroom.core.pool.model import Shortfall
from greenroom.core.pool.shortfalls import (
    PoolState,
    effective_refill_problem,
    effective_shortfall,
    empty_pools_warning,
    is_expected,
    starting_shortfall,
)
from greenroom.core.workspace.spec_builder import ZoneFacts

FULL = Shortfall("no-capacity", "2 of 3 not staged: no Agent in zone eu has 2 cores free.")
BARRED = Shortfall("image-disabled", "Nothing is staged: workspace Desktop is disabled.")
PAUSED = Shortfall("paused", "1 of 3 not staged: the config is paused, so it assigns no session and creates none.")
STALE = Shortfall("no-running-manager", "3 of 3 not staged: no Manager of the zone is running.")


@pytest.mark.parametrize(
    ("missing", "starting", "reason"),
    [
        (1, 1, "1 of 3 not staged yet: it is starting."),
        (3, 3, "3 of 3 not staged yet: they are starting."),
        (3, 4, "3 of 3 not staged yet: they are starting."),
        (3, 1, "3 of 3 not staged yet: 1 of them is starting."),
        (3, 2, "3 of 3 not staged yet: 2 of them are starting."),
        (3, 0, "3 of 3 not staged yet: they are about to start."),
        (1, 0, "1 of 3 not staged yet: it is about to start."),
    ],
)
def test_what_is_on_its_way_is_said_with_the_numbers(missing: int, starting: int, reason: str):
    assert starting_shortfall(3, missing, starting) == Shortfall("starting", reason)


@pytest.mark.parametrize(
    ("stored", "barred", "current", "has_manager", "shown"),
    [
        (FULL, None, 3, True, None),
        (FULL, None, 1, True, FULL),
        (PAUSED, None, 1, True, Shortfall("starting", "2 of 3 not staged yet: 1 of them is starting.")),
        (FULL, BARRED, 1, True, BARRED),
        (None, BARRED, 1, False, BARRED),
        (
            FULL,
            None,
            1,
            False,
            Shortfall(
                "no-running-manager",
                "2 of 3 not staged: no Manager of the zone is running, so the pool is not filled.",
            ),
        ),
        (STALE, None, 1, True, Shortfall("starting", "2 of 3 not staged yet: 1 of them is starting.")),
        (BARRED, None, 1, True, Shortfall("starting", "2 of 3 not staged yet: 1 of them is starting.")),
        (None, None, 1, True, Shortfall("starting", "2 of 3 not staged yet: 1 of them is starting.")),
    ],
    ids=[
        "full by now",
        "as the Primary says",
        "paused no longer",
        "barred since",
        "barred, with or without a Manager",
        "it is not filled",
        "it is filled again",
        "barred no longer",
        "not planned yet",
    ],
)
def test_a_reader_sees_what_holds_now(
    stored: Shortfall | None, barred: Shortfall | None, current: int, has_manager: bool, shown: Shortfall | None
):
    state = PoolState(
        stored=stored,
        obstacle=barred,
        is_paused=False,
        num_sessions=3,
        current=current,
        starting=1,
        has_manager=has_manager,
    )
    assert effective_shortfall(state) == shown


@pytest.mark.parametrize(
    ("stored", "starting", "has_manager", "shown"),
    [
        (None, 1, True, PAUSED),
        (FULL, 1, True, PAUSED),
        (None, 1, False, PAUSED),
        (None, 2, True, Shortfall("starting", "2 of 3 not staged yet: they are starting.")),
    ],
    ids=["made so", "paused since the last round", "no Manager", "what was begun is all that is missing"],
)
def test_a_pause_is_shown_at_once(stored: Shortfall | None, starting: int, has_manager: bool, shown: Shortfall):
    state = PoolState(
        stored=stored,
        obstacle=None,
        is_paused=True,
        num_sessions=3,
        current=1,
        starting=starting,
        has_manager=has_manager,
    )
    assert effective_shortfall(state) == shown


def test_a_problem_of_the_refill_holds_for_a_full_pool_only():
    problem = Shortfall("image-unavailable", "The next session cannot start: vm cannot get image desktop.")
    full = PoolState(
        stored=None,
        obstacle=None,
        is_paused=False,
        num_sessions=2,
        current=2,
        starting=0,
        has_manager=True,
        stored_refill_problem=problem,
    )
    assert effective_refill_problem(full) == problem
    assert effective_refill_problem(replace(full, current=1)) is None
    assert effective_refill_problem(replace(full, is_paused=True)) is None
    assert effective_refill_problem(replace(full, num_sessions=0, current=0)) is None
    unattended = effective_refill_problem(replace(full, has_manager=False))
    assert unattended is not None
    assert unattended.code == "no-running-manager"


def test_a_full_zone_is_an_expected_problem_of_the_refill():
    assert is_expected(Shortfall("no-capacity", "The next session cannot start: no Agent has room."))
    assert not is_expected(Shortfall("image-unavailable", "The next session cannot start: no Agent has the image."))


@pytest.mark.parametrize(
    ("zone", "workspaces", "said"),
    [
        ({"allow_origin_domain": "desk.example", "upstream_auth_address": "desk.example"}, ["Desktop"], None),
        ({"upstream_auth_address": "desk.example"}, [], None),
        ({"upstream_auth_address": "desk.example"}, ["Desktop"], "Allow Origin Domain of zone eu contains"),
        ({}, ["Desktop", "Office"], "Allow Origin Domain and Upstream Auth Address of zone eu contain "),
    ],
)
def test_a_zone_whose_addresses_are_of_the_request_empties_its_pools(
    zone: dict[str, str], workspaces: list[str], said: str | None
):
    found = empty_pools_warning(ZoneFacts(zone_id="z", zone_name="eu", **zone), workspaces)
    if said is None:
        assert found is None
    else:
        assert found is not None
        assert found.startswith(said)
        assert f"({', '.join(workspaces)})" in found
