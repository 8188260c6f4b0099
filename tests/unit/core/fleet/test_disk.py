"""The limits of writes to the disks of hosts: the sessions that are stopped, and the hosts without further
placement."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from tests.unit.properties import for_all

from greenroom.core.fleet.disk import (
    WORTH_STOPPING_BYTES,
    DiskAmount,
    DiskUse,
    FreeDisk,
    SessionToStop,
    sessions_to_stop,
    shortage,
    shortage_warning,
)
from greenroom.core.launch.placement import PlacementAgent, PlacementRequest, place

GB = 10**9
KEPT = 5 * GB
PLENTY = FreeDisk(free_bytes=500 * GB, kept_bytes=KEPT, free_inodes=0.9)
sizes = st.integers(0, 40).map(lambda gb: gb * GB)
uses = st.builds(DiskAmount, sizes, st.integers(0, 4_000_000))
parts = st.none() | st.floats(0, 1)
sessions = st.lists(
    st.builds(DiskUse, session_id=st.uuids().map(str), used=uses, limit_bytes=sizes, uncounted=st.integers(0, 2)),
    max_size=6,
    unique_by=lambda written: written.session_id,
)


def written(name: str, used_gb: float, limit_gb: float = 0, *, files: int = 0, uncounted: int = 0) -> DiskUse:
    used = DiskAmount(round(used_gb * GB), files)
    return DiskUse(session_id=name, used=used, limit_bytes=round(limit_gb * GB), uncounted=uncounted)


def free(free_gb: float | None = 500, free_inodes: float | None = 0.9) -> FreeDisk:
    free_bytes = None if free_gb is None else round(free_gb * GB)
    return FreeDisk(free_bytes=free_bytes, kept_bytes=KEPT, free_inodes=free_inodes)


def test_a_session_over_its_disk_limit_is_stopped_however_much_is_free():
    stops = sessions_to_stop([written("a", 11.2, 10), written("b", 10, 10), written("c", 90)], "vm", PLENTY)
    assert [stop.session_id for stop in stops] == ["a"]
    assert stops[0].reason == (
        "The session was stopped because it had written 11.2 GB to its disk; its workspace allows 10 GB."
    )


def test_before_the_disk_is_full_the_largest_is_stopped():
    sessions = [written("a", 3, 10), written("b", 8, 10), written("c", 0.2)]
    assert sessions_to_stop(sessions, "vm", free(2)) == (), "no new sessions, and those that run go on"
    stops = sessions_to_stop(sessions, "vm", free(1))
    assert [stop.session_id for stop in stops] == ["b"]
    assert stops[0].reason == (
        "The session was stopped because the disk of vm was almost full: it had written 8 GB to its disk, more than"
        " the others there."
    )
    assert sessions_to_stop(sessions, "vm", FreeDisk(free_bytes=0)) == (), "nothing is kept free"
    assert sessions_to_stop([written("d", WORTH_STOPPING_BYTES / GB)], "vm", free(0)) != ()
    assert sessions_to_stop([], "vm", free(0)) == ()
    assert sessions_to_stop([written("c", 0.2)], "vm", free(0)) == (), "it would not help"


def test_files_count_however_empty_they_are():
    stops = sessions_to_stop(
        [written("a", 0.01, 10, files=200_000), written("b", 0.1, 10, files=6_000_000)], "vm", PLENTY
    )
    assert [stop.session_id for stop in stops] == ["b"]
    assert stops[0].reason == (
        "The session was stopped because it had made 6,000,000 files on its disk, which count as 98.3 GB; its workspace"
        " allows 10 GB."
    )
    assert sessions_to_stop([written("a", 9, 10, files=500_000)], "vm", PLENTY) == (), (
        "what is in them is not counted twice"
    )


def test_what_is_written_in_two_places_is_one_use():
    assert DiskAmount(10, 2) + DiskAmount(5, 1) == DiskAmount(15, 3)


def test_what_cannot_be_counted_twice_in_a_row_is_over_the_limit():
    assert sessions_to_stop([written("a", 0, 10, uncounted=1), written("b", 0, uncounted=9)], "vm", PLENTY) == ()
    (stop,) = sessions_to_stop([written("a", 0, 10, uncounted=2)], "vm", PLENTY)
    assert stop.reason == (
        "The session was stopped because it had so many files on its disk that the count did not end in "
        "time twice in a row; its workspace allows 10 GB."
    )


def test_a_disk_without_free_inodes_is_full():
    sessions = [written("a", 8), written("b", 9, files=10), written("c", 0.1, files=300_000)]
    assert sessions_to_stop(sessions, "vm", free(500, 0.07)) == (), "no new sessions, and those that run go on"
    (stop,) = sessions_to_stop(sessions, "vm", free(500, 0.03))
    assert stop.session_id == "c", "it has most of the files, although another has written more"
    assert sessions_to_stop([written("a", 8)], "vm", free(500, 0.03)) == (), "it would not help"
    (stop,) = sessions_to_stop([*sessions, written("d", 0, uncounted=1)], "vm", free(500, 0.03))
    assert "so many files on its disk that the count did not end in time, more than" in stop.reason
    assert stop.session_id == "d", "nothing can be more than what cannot be counted"


@for_all(
    sessions,
    st.builds(free, st.none() | st.floats(0, 40), parts),
    subject=sessions_to_stop,
    mutants=[lambda written, *_: [SessionToStop(one.session_id, "") for one in written], lambda *_: ()],
)
def test_no_session_within_the_limit_is_stopped_while_there_is_disk(
    subject: Any, sessions: list[DiskUse], disk: FreeDisk
):
    stopped = {stop.session_id for stop in subject(sessions, "vm", disk)}
    over = {w.session_id for w in sessions if w.is_over}
    assert over <= stopped
    if over or not shortage("vm", disk):
        assert stopped == over
    for w in sessions:
        if w.session_id in stopped - over:
            assert w.uncounted or w.used.charged_bytes >= WORTH_STOPPING_BYTES


def test_nothing_is_placed_on_a_host_whose_disk_is_short():
    def agent(name: str, free_gb: float | None, free_inodes: float | None = None) -> PlacementAgent:
        return PlacementAgent(agent_id=name, hostname=name, cores=8, memory=8 * GB, disk=free(free_gb, free_inodes))

    placement = place(
        [agent("a", 3), agent("b", 6), agent("c", None), agent("d", 600, 0.042), agent("e", 600, 0.1)],
        PlacementRequest(image="i", cores=1, memory=GB),
        "Least Load",
    )
    assert [found.agent_id for found in placement.candidates] == ["b", "c", "e"]
    assert [(r.code, r.reason) for r in placement.rejected] == [
        ("no_disk", "a has 3 GB of disk free; 5 GB must stay free"),
        ("no_disk", "d has 4.2% of its disk's inodes free; 10% must stay free"),
    ]


def test_a_host_with_little_disk_left_is_named_before_it_takes_no_new_session():
    assert shortage_warning("vm", free(8)) == "vm has 8 GB of disk free; below 5 GB it takes no new session"


def test_a_host_with_enough_or_too_little_disk_has_no_warning():
    assert [shortage_warning("vm", free(size)) for size in (None, 4, 10)] == ["", "", ""]
