"""What is written to the disks of hosts: who is stopped for it, and where nothing is placed any more."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from greenroom.core.fleet.disk import WORTH_STOPPING_BYTES, Written, to_stop
from greenroom.core.launch.placement import AgentView, PlacementRequest, place

GB = 10**9
KEPT = 5 * GB
sizes = st.integers(0, 40).map(lambda gb: gb * GB)
sessions = st.lists(
    st.builds(Written, session_id=st.uuids().map(str), used_bytes=sizes, limit_bytes=sizes),
    max_size=6,
    unique_by=lambda written: written.session_id,
)


def written(name: str, used_gb: float, limit_gb: float = 0) -> Written:
    return Written(session_id=name, used_bytes=round(used_gb * GB), limit_bytes=round(limit_gb * GB))


def test_who_wrote_more_than_the_workspace_allows_is_stopped_however_much_is_free():
    stops = to_stop([written("a", 11.2, 10), written("b", 10, 10), written("c", 90)], "vm", 500 * GB, KEPT)
    assert [stop.session_id for stop in stops] == ["a"]
    assert stops[0].reason == (
        "The session was stopped because it had written 11.2 GB to its disk; its workspace allows 10.0 GB."
    )


def test_before_the_disk_is_full_the_largest_is_stopped():
    everybody = [written("a", 3, 10), written("b", 8, 10), written("c", 0.2)]
    assert to_stop(everybody, "vm", 2 * GB, KEPT) == (), "no new sessions, and those that run go on"
    stops = to_stop(everybody, "vm", 1 * GB, KEPT)
    assert [stop.session_id for stop in stops] == ["b"]
    assert "the disk of vm was almost full: it had written 8.0 GB" in stops[0].reason
    assert to_stop([written("c", 0.2)], "vm", 0, KEPT) == (), "it would not help"


@given(sessions, st.none() | sizes)
def test_nobody_within_the_limit_is_stopped_while_there_is_disk(everybody: list[Written], free: int | None):
    stopped = {stop.session_id for stop in to_stop(everybody, "vm", free, KEPT)}
    over = {w.session_id for w in everybody if 0 < w.limit_bytes < w.used_bytes}
    assert over <= stopped
    if over or free is None or free >= KEPT:
        assert stopped == over
    assert all(w.used_bytes >= WORTH_STOPPING_BYTES for w in everybody if w.session_id in stopped - over)


def test_nothing_is_placed_on_a_host_whose_disk_is_short():
    def agent(name: str, free_gb: float | None) -> AgentView:
        free = None if free_gb is None else round(free_gb * GB)
        return AgentView(
            agent_id=name, hostname=name, cores=8, memory=8 * GB, disk_free_bytes=free, disk_kept_bytes=KEPT
        )

    placement = place(
        [agent("a", 3), agent("b", 6), agent("c", None)], PlacementRequest(image="i", cores=1, memory=GB), "Least Load"
    )
    assert [found.agent_id for found in placement.candidates] == ["b", "c"]
    assert [(r.code, r.reason) for r in placement.rejected] == [
        ("no_disk", "a has 3.0 GB of disk free; 5.0 GB are kept free")
    ]
