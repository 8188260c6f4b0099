"""The pages of the console look as recorded (`script/pictures --record`)."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from script.pictures import FINGERPRINTS, PICTURES, RESULTS, Camera, Picture, compare, end_demo, read_demo
from tests.support.scratch import keep_in_memory, remove_from_memory

RECORDED: dict[str, str] = json.loads(FINGERPRINTS.read_text())


@pytest.fixture(scope="module")
def camera(browser: Browser) -> Iterator[Camera]:
    """A camera in front of a small demo."""
    folder = Path(tempfile.mkdtemp(prefix="gr-pic-", dir="/tmp"))  # the accounts of the roles read it
    keep_in_memory(folder)
    data = str(folder / "demo")
    RESULTS.mkdir(parents=True, exist_ok=True)
    yield Camera(browser, read_demo(data, small=True))
    end_demo(data)
    remove_from_memory(folder)


@pytest.mark.timeout(240)
def test_nothing_needs_attention_in_the_demo(camera: Camera):
    """An entry would move the lines of Today."""
    assert camera.attention() == []


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "picture", [each for each in PICTURES if each.compared and each.name in RECORDED], ids=lambda each: each.name
)
def test_a_page_looks_as_recorded(camera: Camera, picture: Picture):
    content = camera.take(picture)
    (RESULTS / picture.file).write_bytes(content)
    assert compare(picture.name, content, RECORDED) is None
