"""The pictures of the console: their table, the times that they show, and their fingerprints."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import BytesIO

import pytest
from PIL import Image, ImageDraw
from script.fixed_texts import with_fixed_texts
from script.pictures import (
    DOCS,
    HEIGHTS,
    MAX_BYTES,
    MAX_DIFFERENT,
    NOW,
    PICTURES,
    compare,
    difference,
    fingerprint,
    in_language,
    is_blank,
    moved_times,
    small_png,
)

from greenroom.demo.people import LOG_INS

SEEDED = datetime(2026, 11, 28, 19, 0, tzinfo=UTC)


def png(*, width: int = 1440, height: int = 900, box: int = 0, noise: bool = False) -> bytes:
    """A page with a dark box of this size in its corner."""
    image = (
        Image.effect_noise((width, height), 90).convert("RGB") if noise else Image.new("RGB", (width, height), "white")
    )
    if box:
        ImageDraw.Draw(image).rectangle((0, 0, box, box), fill="black")
    output = BytesIO()
    image.save(output, "PNG")
    return output.getvalue()


def test_each_picture_has_its_own_name_a_known_user_and_a_known_width():
    names = [picture.name for picture in PICTURES]
    assert len(set(names)) == len(names)
    assert {picture.user for picture in PICTURES} <= set(LOG_INS)
    assert {picture.width for picture in PICTURES} <= set(HEIGHTS)


def test_each_picture_for_the_documentation_exists_there():
    assert [picture.name for picture in PICTURES if picture.docs and not (DOCS / picture.file).exists()] == []


def test_the_key_pages_are_compared_in_both_themes_and_both_languages():
    compared = [picture for picture in PICTURES if picture.compared]
    assert 20 <= len(compared) <= 32
    assert {picture.theme for picture in compared} == {"light", "dark"}
    assert {picture.language for picture in compared} == {"en", "de"}
    assert {picture.width for picture in compared} == set(HEIGHTS)


def test_pictures_of_a_german_demo_have_other_names():
    names = [picture.name for picture in in_language(PICTURES, "de")]
    assert len(set(names)) == len(names)
    assert all(name.endswith("-de") for name in names)


def test_texts_that_differ_between_machines_are_replaced_and_ids_are_not():
    demo = {"data": "/srv/x1/demo", "api_key": "xvYk8UCJn1FW"}
    content = (
        b'{"id": "04af55a1-4342-40d6-a28a-c887fa8ec77e", "message": "root on the host started the instance in'
        b' /srv/x1/demo", "actor": "API key xvYk8UCJn1FW", "url": "https://127.0.0.1:28778",'
        b' "name": "manager-main-campus-1-cf60d147", "config": "Desktop (config 76460313)", "waited_ms":1022.04115799}'
    )
    assert with_fixed_texts(content, demo) == (
        b'{"id": "04af55a1-4342-40d6-a28a-c887fa8ec77e", "message": "root on the host started the instance in'
        b' /var/lib/greenroom", "actor": "API key kD4mQ8sT2vXz", "url": "https://127.0.0.1:8443",'
        b' "name": "manager-main-campus-1-5f3a9c21", "config": "Desktop (config 5f3a9c21)", "waited_ms":1040.0}'
    )


@pytest.mark.parametrize(
    ("time", "shown"),
    [
        (SEEDED, NOW),
        (SEEDED - timedelta(hours=3), NOW - timedelta(hours=3)),
        (SEEDED + timedelta(hours=5), NOW + timedelta(hours=5)),
        (SEEDED + timedelta(minutes=4), NOW - timedelta(seconds=2)),
    ],
    ids=["the data", "a launch before", "a deadline after", "a report since then"],
)
def test_times_of_answers_are_moved_to_the_time_of_the_pictures(time: datetime, shown: datetime):
    content = f'[{{"at": "{time:%Y-%m-%dT%H:%M:%S.123456}Z", "name": "2026"}}]'.encode()
    moved = moved_times(content, SEEDED + timedelta(milliseconds=200), SEEDED + timedelta(minutes=5))
    assert moved == f'[{{"at": "{shown:%Y-%m-%dT%H:%M:%S}Z", "name": "2026"}}]'.encode()


def test_a_small_change_of_a_picture_is_no_difference():
    assert difference(fingerprint(png()), fingerprint(png(box=60))) < MAX_DIFFERENT


def test_a_large_change_of_a_picture_is_a_difference():
    assert difference(fingerprint(png()), fingerprint(png(box=400))) > MAX_DIFFERENT


def test_pictures_of_different_sizes_differ():
    assert difference(fingerprint(png()), fingerprint(png(width=390, height=844))) == 1


def test_a_comparison_names_the_picture_and_the_part_that_differs():
    recorded = {"today": fingerprint(png())}
    assert compare("today", png(), recorded) is None
    assert "today differs in 14% of its blocks" in (compare("today", png(box=420), recorded) or "")
    assert "no fingerprint" in (compare("other", png(), recorded) or "")


def test_a_large_picture_gets_fewer_colors():
    picture = png(width=620, height=400, noise=True)
    assert len(picture) > MAX_BYTES
    assert len(small_png(picture)) <= MAX_BYTES


def test_a_page_of_one_color_is_blank():
    assert is_blank(png())
    assert not is_blank(png(box=20))
