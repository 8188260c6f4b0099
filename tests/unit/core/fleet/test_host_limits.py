"""The limits of a host: the number of sessions that they permit, and the condition for a warning."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import for_all

from greenroom.core.fleet.host_limits import (
    LIMITS,
    SESSIONS,
    failure_explanation,
    limit_in_error,
    narrowest,
    session_capacity,
    to_raise,
    too_low,
)

VALUES = st.dictionaries(st.sampled_from([limit.name for limit in LIMITS]), st.integers(0, 10**7))
UNTOUCHED = {"fs.inotify.max_user_instances": 128, "kernel.pid_max": 32768, "net.ipv4.neigh.default.gc_thresh3": 1024}


def test_an_unprepared_host_is_good_for_25_desktops_and_says_why():
    good = session_capacity(UNTOUCHED, fit=80)
    assert good.is_short
    assert good.sentence == (
        "The limits of this host permit 25 sessions, and 80 fit into its memory and cores: "
        "fs.inotify.max_user_instances is 128 (inotify instances of one account, over all containers), "
        "and a session needs 5. Raise the kernel's limits with `greenroom setup limits`, as root."
    )
    assert not session_capacity(UNTOUCHED, fit=25).is_short
    assert session_capacity({}).sentence == "The limits of this host are unknown, because /proc/sys cannot be read."


@for_all(
    VALUES,
    subject=to_raise,
    mutants=[
        lambda values: {name: wanted // 2 for name, wanted in to_raise(values).items()},
        lambda values: {one.name: one.required for one in LIMITS if one.sysctl and one.name in values},
        lambda values: {},
    ],
)
def test_what_is_raised_is_enough_and_nothing_is_lowered(subject: Any, values: dict[str, int]):
    raised = subject(values)
    assert all(raised[name] > values[name] for name in raised)
    assert not [low for low in too_low(values | raised, SESSIONS) if low.limit.sysctl]


@for_all(
    VALUES,
    st.integers(0, 2000),
    subject=narrowest,
    mutants=[lambda values: narrowest(dict(sorted(values.items())[:1]))],
)
def test_a_host_is_good_for_as_many_sessions_as_its_narrowest_limit(
    subject: Any, values: dict[str, int], sessions: int
):
    first = subject(values)
    assert (first is not None and first.room < sessions) == bool(too_low(values, sessions))


@pytest.mark.parametrize(
    ("words", "limit"),
    [
        ("Failed to create inotify instance: Too many open files", "fs.inotify.max_user_instances"),
        ("tail: inotify cannot be used, reverting to polling: Too many open files", "fs.inotify.max_user_instances"),
        ("Error: ENOSPC: System limit for number of file watchers reached", "fs.inotify.max_user_watches"),
        ("/bin/bash: fork: retry: Resource temporarily unavailable", "kernel.threads-max"),
        (
            "Docker refused: adding interface veth1 to bridge gr-1 failed: exchange full.",
            "ports of a bridge",
        ),
        ("could not create session key: disk quota exceeded", "kernel.keys.root_maxkeys"),
        ("no available IPv4 addresses on this network's address pools: gr", "addresses of the sessions' network"),
        ("bind: address already in use", None),
    ],
)
def test_a_limit_is_known_by_the_words_of_who_met_it(words: str, limit: str | None):
    met = limit_in_error(words)
    assert (met.name if met else None) == limit


def test_a_failure_names_the_limit_that_was_met_or_exceeded():
    assert failure_explanation(UNTOUCHED, 3, "it ended") == ""
    assert failure_explanation(UNTOUCHED, 26, "it ended").startswith(
        "26 sessions are more than this host supports (25): fs.inotify"
    )
    met = failure_explanation(UNTOUCHED, 3, "Failed to create inotify instance: Too many open files")
    assert met.startswith("A limit of this host was reached: fs.inotify.max_user_instances is 128 (")


def test_each_remedy_is_given_once_and_what_the_host_keeps_is_counted():
    values = {"kernel.pid_max": 1999, "fs.inotify.max_user_instances": 5, "nofile of dockerd": 215}
    short = session_capacity(values, fit=2)
    assert short.sentence == (
        "The limits of this host permit 1 sessions, and 2 fit into its memory and cores: "
        "fs.inotify.max_user_instances is 5 (inotify instances of one account, over all containers), and "
        "a session needs 5; nofile of dockerd is 215 (open files of the Docker daemon), and a session "
        "needs 10 in addition to 200 for the host. Raise the kernel's limits with `greenroom setup "
        "limits`, as root. Raise its LimitNOFILE= (systemd) or its ulimit -n, and restart it."
    )
    assert [low.limit.name for low in too_low(values, 5)] == [
        "fs.inotify.max_user_instances",
        "nofile of dockerd",
        "kernel.pid_max",
    ]
    assert narrowest({"kernel.pid_max": 500}) is not None
    assert [low.room for low in too_low({"kernel.pid_max": 500}, 1)] == [0], "not fewer than none"
    assert to_raise(values) == {"kernel.pid_max": 201_000, "fs.inotify.max_user_instances": 5000}
    assert to_raise({"kernel.pid_max": 201_000}) == {}
