"""The limits of a host that cause failures."""

from __future__ import annotations

import pytest

from greenroom.core.fleet.host_limits import failure_explanation, limit_in_error, limits_too_low

UNTOUCHED = {"fs.inotify.max_user_instances": 128, "kernel.pid_max": 32768, "net.ipv4.neigh.default.gc_thresh3": 1024}


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


def test_the_lowest_limits_come_first_and_what_the_host_keeps_is_counted():
    values = {"kernel.pid_max": 1999, "fs.inotify.max_user_instances": 5, "nofile of dockerd": 215}
    assert [low.limit.name for low in limits_too_low(values, 5)] == [
        "fs.inotify.max_user_instances",
        "nofile of dockerd",
        "kernel.pid_max",
    ]
    assert [low.max_sessions for low in limits_too_low({"kernel.pid_max": 500}, 1)] == [0], "not fewer than none"
