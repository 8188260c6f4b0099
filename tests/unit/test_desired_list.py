"""The changes that a new desired list reports to subscribers."""

from __future__ import annotations

from greenroom.agent.session.desired import ListChange
from greenroom.wire.messages import Authorised, Desired

ALICE, BOB = Authorised(user_id="alice", epoch=1), Authorised(user_id="bob", epoch=1)


def entry(session_id: str, authorised: Authorised | None = None, want: str = "running") -> Desired:
    return Desired(session_id=session_id, generation=1, want=want, authorised=authorised)  # pyright: ignore[reportArgumentType]


def test_a_list_shows_what_changed_who_left_and_whose_viewers_did():
    same, staged, gone = entry("same", ALICE), entry("staged"), entry("gone")
    claimed, ending, handed = entry("staged", BOB), entry("ending", ALICE, "absent"), entry("handed", BOB)
    before = {one.session_id: one for one in (same, staged, gone, entry("ending", ALICE), entry("handed", ALICE))}
    now = {one.session_id: one for one in (same, claimed, ending, handed, entry("new"))}
    change = ListChange(before=before, now=now)
    assert [one.session_id for one in change.changed] == ["staged", "ending", "handed", "new"]
    assert change.removed == ["gone"]
    assert change.with_changed_viewers == ["staged", "ending", "handed", "gone"]
