"""The disk and memory that an instance needs for its start."""

from __future__ import annotations

import pytest

from greenroom.up.free_space import Space, low_disk_warning, shortages

NEEDED = Space(disk_bytes=350_000_000, memory_bytes=450_000_000)


@pytest.mark.parametrize(
    ("disk", "memory", "sentences"),
    [
        (350_000_000, 450_000_000, []),
        (
            220_000_000,
            8_000_000_000,
            ["DATA needs about 350 MB free, and /mnt has 220 MB. Free some space, or pass another --data."],
        ),
        (
            1_500_000_000,
            300_000_000,
            [
                (
                    "The processes of an instance need about 450 MB of memory without any desktop, and this machine has"
                    " 300 MB free; end other programs, or use a machine with more."
                )
            ],
        ),
    ],
)
def test_what_is_too_small_is_said_with_both_numbers(disk: int, memory: int, sentences: list[str]):
    assert shortages("/mnt", NEEDED, Space(disk_bytes=disk, memory_bytes=memory)) == sentences


def test_both_can_be_too_small():
    found = shortages("/mnt", Space(disk_bytes=2_500_000_000, memory_bytes=1), Space(disk_bytes=0, memory_bytes=0))
    assert len(found) == 2
    assert "about 2.5 GB free, and /mnt has 0 MB" in found[0]


def test_a_disk_on_which_no_session_can_start_is_a_warning():
    assert low_disk_warning("/srv", 5_000_000_000, 5_000_000_000) == ""
    assert low_disk_warning("/srv", 400_000_000, 5_000_000_000) == (
        "No session can start: the disk of /srv has 400 MB free, and 5.0 GB must stay free. Free some space."
    )
