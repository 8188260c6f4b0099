"""Videos of sessions: which are recorded, how frames become segments, and what a verification finds."""

from __future__ import annotations

import hashlib
import hmac
import struct
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.core.errors import Invalid
from greenroom.core.recording import session_video
from greenroom.core.recording.mp4 import mp4_of
from greenroom.core.recording.session_video import (
    CHANGE,
    INDEPENDENT,
    LARGE_SEGMENT_BYTES,
    LOSS_LIMIT_S,
    MAX_FRAME_BYTES,
    MAX_REQUEST_BYTES,
    MAX_SEGMENT_BYTES,
    MAX_SEGMENT_S,
    SEGMENT_S,
    SIGN_OF_LIFE,
    STORE_LIMIT_S,
    Cut,
    Cutter,
    FrameReader,
    RecorderFrame,
    SegmentEntry,
    chain_of,
    is_recorded,
    problems_of,
    refusal_of_viewers,
    seal_of,
    waits_for_storage,
    with_workspace_policy,
)
from greenroom.wire.viewers import VideoSegment

SESSION = "a2f3d1f0-0000-4000-8000-000000000001"
BEGUN = datetime(2026, 3, 2, 9, tzinfo=UTC)
SPS, PPS = bytes.fromhex("6742c028896240"), bytes.fromhex("68ce0472")
UNIT = b"\0\0\0\1"


def sign(data: bytes) -> bytes:
    return hmac.digest(b"key", data, "sha256")


def whole(at_s: float, width: int = 640) -> RecorderFrame:
    return RecorderFrame(at_s, INDEPENDENT, width, 480, UNIT + SPS + UNIT + PPS + UNIT + b"\x65picture")


def change(at_s: float) -> RecorderFrame:
    return RecorderFrame(at_s, CHANGE, 640, 480, UNIT + b"\x41change")


def sent(kind: int, data: bytes = b"") -> bytes:
    return struct.pack(">BHHI", kind, 640, 480, len(data)) + data


def entries(number: int) -> tuple[list[SegmentEntry], bytes]:
    """The entries of a complete video, and its seal."""
    found, previous = list[SegmentEntry](), b""
    for n in range(1, number + 1):
        sha256, began = hashlib.sha256(bytes([n])).digest(), BEGUN + timedelta(seconds=30 * n)
        previous = chain_of(sign, SESSION, number=n, began=began, duration_ms=30_000, sha256=sha256, previous=previous)
        entry = SegmentEntry(
            number=n, began=began, duration_ms=30_000, sha256=sha256, chain=previous, actual_sha256=sha256
        )
        found.append(entry)
    return found, seal_of(sign, SESSION, number, previous)


def problems(found: list[SegmentEntry], seal: bytes | None, *, is_over: bool = True) -> list[str]:
    return problems_of(sign, SESSION, found, segments=5, seal=seal, is_over=is_over)


@pytest.mark.parametrize(
    ("group", "workspace", "recorded"),
    [(False, False, False), (True, False, True), (False, True, True), (True, True, True)],
)
def test_a_session_is_recorded_if_its_group_or_its_workspace_requires_it(group: bool, workspace: bool, recorded: bool):
    settings = with_workspace_policy({"record_sessions": group, "watermark": True}, workspace)
    assert is_recorded(settings) is recorded
    assert settings["watermark"] is True


def test_the_stream_is_split_into_frames_wherever_it_was_cut():
    stream = sent(INDEPENDENT, b"one") + sent(SIGN_OF_LIFE) + sent(CHANGE, b"two")
    reader = FrameReader()
    frames = [frame for n, byte in enumerate(stream) for frame in reader.feed(bytes([byte]), float(n))]
    assert [(frame.kind, frame.data) for frame in frames] == [
        (INDEPENDENT, b"one"),
        (SIGN_OF_LIFE, b""),
        (CHANGE, b"two"),
    ]
    assert (frames[0].width, frames[0].height, frames[0].at_s) == (640, 480, 11.0)


@pytest.mark.parametrize("head", [struct.pack(">BHHI", 7, 1, 1, 0), struct.pack(">BHHI", 0, 1, 1, MAX_FRAME_BYTES + 1)])
def test_a_stream_of_another_kind_is_refused(head: bytes):
    with pytest.raises(Invalid, match="invalid frame"):
        list(FrameReader().feed(head, 0.0))


def test_a_full_segment_keeps_its_last_picture_until_the_next_whole_picture():
    cutter, large = Cutter(), RecorderFrame(1.0, CHANGE, 640, 480, bytes(6_000_000))
    assert [cutter.add(frame) for frame in (whole(0.0), large, replace(large, at_s=2.0), change(3.0))] == [None] * 4
    cut = cutter.add(whole(4.0))
    assert cut is not None
    assert [frame.at_s for frame in cut.frames] == [0.0, 1.0], "a change is useless without the change before it"
    assert cut.durations_ms == [1000, 3000]


def test_a_picture_that_fits_in_no_segment_is_refused():
    units = RecorderFrame(0.0, INDEPENDENT, 640, 480, b"\0\0\1\x65" * (MAX_FRAME_BYTES // 4))
    with pytest.raises(Invalid, match="too large"):
        Cutter().add(units)


# No mutant: the size is the only property of a file.
@given(
    sent=st.lists(
        st.tuples(
            st.sampled_from([CHANGE, INDEPENDENT]),
            st.sampled_from([UNIT + b"\x65", b"\0\0\1\x41", b"\0\0\1", b"\0", b"\x65" * 700]),
            st.integers(0, 300),
        ),
        max_size=30,
    )
)
def test_no_file_of_a_segment_exceeds_its_limit(sent: list[tuple[int, bytes, int]]):
    cutter, cuts = Cutter(), list[Cut | None]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session_video, "MAX_SEGMENT_BYTES", 9_000)
        cuts.append(cutter.add(whole(0.0)))
        for number, (kind, part, repeats) in enumerate(sent, 1):
            data = (whole(0.0).data if kind == INDEPENDENT else b"") + part * repeats
            try:
                cuts.append(cutter.add(RecorderFrame(number / 4, kind, 640, 480, data)))
            except Invalid:
                break  # a whole picture that fits in no segment
    sizes = [len(mp4_of(cut)) for cut in (*cuts, cutter.finish()) if cut is not None]
    assert all(size <= 9_000 for size in sizes)


@pytest.mark.parametrize(
    ("changes_per_s", "change_bytes", "key_bytes"),
    [
        (0.0, 0, 1_000),
        (4.0, 20, 1_000),
        (0.5, 3_300, 3_500),
        (0.5, 3_400, 35_000),
        (0.5, 59_000, 65_000),
        (4.0, 79_900, 79_900),
    ],
    ids=["at rest", "typing", "text that scrolls", "random pixels in 4K", "an older recorder", "the largest pictures"],
)
def test_the_video_of_two_hours_is_as_long_as_the_session(
    monkeypatch: pytest.MonkeyPatch, changes_per_s: float, change_bytes: int, key_bytes: int
):
    """The stream of a recorder in fast time, with a hundredth of its bytes: a whole picture at least every 30 s and
    after 20 kB of changes, a sign of life every 4 s."""
    monkeypatch.setattr(session_video, "LARGE_SEGMENT_BYTES", LARGE_SEGMENT_BYTES // 100)
    monkeypatch.setattr(session_video, "MAX_SEGMENT_BYTES", MAX_SEGMENT_BYTES // 100)
    key, later = whole(0.0).data + b"\x65" * key_bytes, UNIT + b"\x41" * change_bytes
    cutter, stored_ms, changed, last_key_s = Cutter(), 0, 0, -30.0
    for quarter in range(4 * 7200 + 1):
        at_s, cut = quarter / 4, None
        if at_s - last_key_s >= 30 or changed > 20_000:
            cut = cutter.add(RecorderFrame(at_s, INDEPENDENT, 3840, 2160, key))
            changed, last_key_s = 0, at_s
        elif changes_per_s and quarter % round(4 / changes_per_s) == 0:
            cut = cutter.add(RecorderFrame(at_s, CHANGE, 3840, 2160, later))
            changed += change_bytes
        elif quarter % 16 == 0:
            cut = cutter.add(RecorderFrame(at_s, SIGN_OF_LIFE))
        if cut is not None:
            stored_ms += sum(cut.durations_ms)
            assert len(mp4_of(cut)) <= MAX_SEGMENT_BYTES // 100
    rest = cutter.finish()
    assert stored_ms + sum(rest.durations_ms if rest else []) == 7_200_000


def test_a_request_with_the_largest_segment_fits_in_the_limit_of_its_route():
    segment = VideoSegment(session_id=SESSION, segment_id=SESSION, began=1.8e9, data=bytes(MAX_SEGMENT_BYTES))
    assert len(msgspec.json.encode(segment)) <= MAX_REQUEST_BYTES < 10 * 2**20 * 1.2


@pytest.mark.parametrize(
    ("waits_s", "lost_s", "fills_memory", "reason", "waits"),
    [
        (STORE_LIMIT_S, LOSS_LIMIT_S, False, "", False),
        (STORE_LIMIT_S + 1, 0.0, False, "Its video could not be stored for 10 minutes.", True),
        (0.0, LOSS_LIMIT_S + 1, False, "All parts of its video were lost for 60 seconds.", False),
        (1.0, 0.0, True, "Its video could not be stored, and too much data of videos waits", True),
    ],
)
def test_no_user_sees_a_session_whose_video_is_not_stored_for_a_long_time(
    waits_s: float, lost_s: float, fills_memory: bool, reason: str, waits: bool
):
    refusal = refusal_of_viewers(waits_s=waits_s, lost_s=lost_s, fills_memory=fills_memory)
    assert refusal.startswith(reason)
    assert bool(refusal) is bool(reason)
    assert waits_for_storage(refusal) is waits


def test_empty_units_of_a_picture_are_left_out():
    plain = whole(0.0)
    padded = replace(plain, data=UNIT + UNIT + plain.data)
    assert mp4_of(Cut([padded], 1.0)) == mp4_of(Cut([plain], 1.0))


def test_a_segment_ends_before_a_whole_picture_after_its_minimum_duration():
    cutter = Cutter()
    early, late = whole(SEGMENT_S - 1), whole(SEGMENT_S + 1)
    assert [cutter.add(frame) for frame in (whole(0.0), change(1.5), early)] == [None, None, None]
    cut = cutter.add(late)
    assert cut is not None
    assert list(cut.frames) == [whole(0.0), change(1.5), early]
    assert sum(cut.durations_ms) == round((SEGMENT_S + 1) * 1000)
    cutter.add(RecorderFrame(SEGMENT_S + 6, SIGN_OF_LIFE))
    rest = cutter.finish()
    assert rest is not None
    assert rest.durations_ms == [5000], "a sign of life shows that the picture has not changed"


def test_a_new_size_of_the_screen_begins_another_segment():
    cutter = Cutter()
    cutter.add(whole(0.0))
    cut = cutter.add(whole(1.0, width=800))
    assert cut is not None
    assert [frame.width for frame in cut.frames] == [640]


def test_a_large_segment_ends_before_the_next_whole_picture():
    cutter, picture = Cutter(), whole(0.0)
    cutter.add(picture)
    cutter.add(RecorderFrame(0.5, CHANGE, 640, 480, bytes(LARGE_SEGMENT_BYTES)))
    cut = cutter.add(whole(1.0))
    assert cut is not None
    assert len(cut.frames) == 2


@pytest.mark.parametrize("kind", [CHANGE, SIGN_OF_LIFE])
def test_a_stream_without_whole_pictures_is_refused(kind: int):
    cutter = Cutter()
    cutter.add(whole(0.0))
    cutter.add(RecorderFrame(MAX_SEGMENT_S, kind))
    with pytest.raises(Invalid, match="no independent picture for 90 s"):
        cutter.add(RecorderFrame(MAX_SEGMENT_S + 1, kind))


def test_a_stream_must_begin_with_a_whole_picture():
    with pytest.raises(Invalid, match="did not begin"):
        Cutter().add(change(0.0))


def test_a_segment_is_a_file_with_its_description_and_the_lengths_of_its_pictures():
    file = mp4_of(Cut([whole(0.0), change(0.25)], 1.0))
    position, boxes = 0, dict[str, bytes]()
    while position < len(file):
        length, name = struct.unpack_from(">I4s", file, position)
        boxes[name.decode()] = file[position + 8 : position + length]
        position += length
    assert list(boxes) == ["ftyp", "moov", "moof", "mdat"]
    assert b"avcC\x01\x42\xc0\x28" in boxes["moov"]
    assert SPS in boxes["moov"]
    assert boxes["mdat"] == struct.pack(">I", 8) + b"\x65picture" + struct.pack(">I", 7) + b"\x41change"
    run = boxes["moof"][boxes["moof"].index(b"trun") + 4 :]
    number, offset = struct.unpack_from(">Ii", run, 4)
    assert number == 2
    assert file[file.index(b"moof") - 4 + offset :] == boxes["mdat"]
    assert struct.unpack_from(">3I3I", run, 12) == (250, 12, 0x02000000, 750, 11, 0x01010000)


def test_a_picture_without_a_description_is_no_segment():
    with pytest.raises(Invalid, match="without a description"):
        mp4_of(Cut([RecorderFrame(0.0, INDEPENDENT, 640, 480, UNIT + b"\x65picture")], 1.0))


def test_a_picture_with_a_long_description_is_no_segment():
    data = UNIT + SPS + b"\xff" * 0x10000 + UNIT + PPS + UNIT + b"\x65picture"
    with pytest.raises(Invalid, match="without a description"):
        mp4_of(Cut([RecorderFrame(0.0, INDEPENDENT, 640, 480, data)], 1.0))


def test_a_complete_video_has_no_problems():
    assert problems(*entries(5)) == []


def test_a_changed_segment_is_named():
    found, seal = entries(5)
    found[2] = replace(found[2], actual_sha256=b"other")
    assert problems(found, seal) == ["Segment 3 was changed: its data does not match its hash."]


def test_a_segment_that_was_replaced_with_its_hash_is_named():
    found, seal = entries(5)
    found[1] = replace(found[1], actual_sha256=b"other", sha256=b"other")
    assert problems(found, seal) == ["Segment 2 was replaced, or its time was changed."]


def test_swapped_segments_are_named():
    found, seal = entries(5)
    found[1], found[2] = replace(found[2], number=2), replace(found[1], number=3)
    assert [sentence.split(" was ")[0] for sentence in problems(found, seal)] == ["Segment 2", "Segment 3", "Segment 4"]


def test_missing_segments_are_named():
    found, seal = entries(5)
    assert problems([found[0], found[3], found[4]], seal) == ["Segments 2 to 3 are missing."]
    assert problems(found[:4], seal) == ["Segment 5 is missing."]


def test_a_cut_end_is_found_although_the_stored_number_was_changed():
    found, seal = entries(5)
    cut = problems_of(sign, SESSION, found[:4], segments=4, seal=seal, is_over=True)
    assert cut == ["The end of the video was changed, or segments at the end are missing."]


def test_lost_segments_are_named_and_hide_no_other_problem():
    found, seal = entries(5)
    found[1] = replace(found[1], is_lost=True)
    assert problems(found, seal) == ["Segment 2 could not be stored, and is lost."]
    assert problems(found, b"other")[1:] == ["The end of the video was changed, or segments at the end are missing."]


def test_a_video_needs_an_end_only_after_its_session():
    found, _ = entries(5)
    assert problems(found, None, is_over=False) == []
    assert problems(found, None) == ["The end of the video is missing; later segments may be missing."]
