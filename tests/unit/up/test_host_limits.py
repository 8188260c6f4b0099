"""The number of sessions that the limits of a host permit, and the limits to raise."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from tests.unit.properties import for_all

from greenroom.core.fleet.host_limits import LIMITS, MAX_SESSIONS, limits_too_low
from greenroom.up.host_limits import find_lowest_limit, limits_to_raise, session_capacity

VALUES = st.dictionaries(st.sampled_from([limit.name for limit in LIMITS]), st.integers(0, 10**7))
UNTOUCHED = {"fs.inotify.max_user_instances": 128, "kernel.pid_max": 32768, "net.ipv4.neigh.default.gc_thresh3": 1024}


def test_an_unprepared_host_is_good_for_25_desktops_and_says_why():
    good = session_capacity(UNTOUCHED, fitting_sessions=80)
    assert good.is_short
    assert good.sentence == (
        "The limits of this host permit 25 sessions, and 80 fit into its memory and cores: "
        "fs.inotify.max_user_instances is 128 (inotify instances of one account, over all containers), "
        "and a session needs 5. Raise the kernel's limits with `greenroom setup limits`, as root."
    )
    assert not session_capacity(UNTOUCHED, fitting_sessions=25).is_short
    assert session_capacity({}).sentence == "The limits of this host are unknown, because /proc/sys cannot be read."


@for_all(
    VALUES,
    subject=limits_to_raise,
    mutants=[
        lambda values: {name: wanted // 2 for name, wanted in limits_to_raise(values).items()},
        lambda values: {one.name: one.required for one in LIMITS if one.is_kernel_setting and one.name in values},
        lambda values: {},
    ],
)
def test_what_is_raised_is_enough_and_nothing_is_lowered(subject: Any, values: dict[str, int]):
    raised = subject(values)
    assert all(raised[name] > values[name] for name in raised)
    assert not [low for low in limits_too_low(values | raised, MAX_SESSIONS) if low.limit.is_kernel_setting]


@for_all(
    VALUES,
    st.integers(0, 2000),
    subject=find_lowest_limit,
    mutants=[lambda values: find_lowest_limit(dict(sorted(values.items())[:1]))],
)
def test_a_host_is_good_for_as_many_sessions_as_its_narrowest_limit(
    subject: Any, values: dict[str, int], sessions: int
):
    first = subject(values)
    assert (first is not None and first.max_sessions < sessions) == bool(limits_too_low(values, sessions))


def test_each_remedy_is_given_once_and_what_the_host_keeps_is_counted():
    values = {"kernel.pid_max": 1999, "fs.inotify.max_user_instances": 5, "nofile of dockerd": 215}
    short = session_capacity(values, fitting_sessions=2)
    assert short.sentence == (
        "The limits of this host permit 1 sessions, and 2 fit into its memory and cores: "
        "fs.inotify.max_user_instances is 5 (inotify instances of one account, over all containers), and "
        "a session needs 5; nofile of dockerd is 215 (open files of the Docker daemon), and a session "
        "needs 10 in addition to 200 for the host. Raise the kernel's limits with `greenroom setup "
        "limits`, as root. Raise its LimitNOFILE= (systemd) or its ulimit -n, and restart it."
    )
    assert find_lowest_limit({"kernel.pid_max": 500}) is not None
    assert limits_to_raise(values) == {"kernel.pid_max": 201_000, "fs.inotify.max_user_instances": 5000}
    assert limits_to_raise({"kernel.pid_max": 201_000}) == {}
