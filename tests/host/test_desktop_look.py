"""The plain desktop looks the same each time, even if its programs race at their start."""

from __future__ import annotations

import io

import pytest
from PIL import Image, ImageChops
from tests.support.runtime_hosts import Host, usable
from tests.support.waiting import eventually

from greenroom.core.workspace.session_spec import SessionSpec
from greenroom.runtimes.contract import HostRuntime

pytestmark = pytest.mark.docker

SIZE = (1280, 800)
CLOCK = (1200, 762, *SIZE)
POINTER = (632, 392, 664, 424)
"""The middle; the X server draws the pointer there until it is moved, with or without a box around it."""
NOTICEABLE = 48
"""On a scale to 255: a difference that is not a compression artifact."""


async def test_desktops_that_start_at_once_look_the_same(host: Host, runtime: HostRuntime, desktop_image: str):
    started = [await host.started(runtime, image=desktop_image) for _ in range(3)]
    screens: list[tuple[str, SessionSpec]] = []
    for _, wanted, container in started:
        assert container.address is not None
        await usable(runtime, container.address, wanted)
        screens.append((container.address, wanted))

    async def are_alike() -> bool:
        first, *others = [await picture(runtime, address, wanted) for address, wanted in screens]
        return is_finished(first) and all(alike(first, other) for other in others)

    await eventually(are_alike)


async def picture(runtime: HostRuntime, address: str, wanted: SessionSpec) -> Image.Image:
    shown = Image.open(io.BytesIO(await runtime.screenshot(address, wanted, *SIZE))).convert("RGB")
    for part in (CLOCK, POINTER):
        shown.paste((0, 0, 0), part)
    return shown


def is_finished(picture: Image.Image) -> bool:
    """True if panel, wallpaper and the icon of the home are visible."""
    panel, wallpaper, home = (picture.crop(box) for box in ((0, 764, 240, 798), (600, 0, 1200, 700), (40, 25, 100, 92)))
    return all(len(part.getcolors(maxcolors=1 << 20) or []) > 50 for part in (panel, wallpaper, home))


def alike(one: Image.Image, other: Image.Image) -> bool:
    """True if no pixel differs noticeably."""
    difference = ImageChops.difference(one, other).convert("L")
    return difference.point([255 * (level > NOTICEABLE) for level in range(256)]).getbbox() is None
