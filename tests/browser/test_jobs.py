"""The daily jobs at the console: with the keyboard only, and with few clicks of the mouse."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext
from tests.acceptance.instance import running_instance
from tests.support.hands import Hand, Keyboard, Mouse
from tests.support.job_scene import JobScene, scene_at
from tests.support.jobs import JOBS, Job


@pytest.fixture(scope="module")
def scene() -> Iterator[JobScene]:
    """Two Managers and a simulated Agent, with the objects that the jobs are about."""
    with running_instance("--managers", "2", GREENROOM_RUNTIME="simulated") as instance, scene_at(instance) as scene:
        yield scene


@pytest.mark.parametrize("hand_of", [Keyboard, Mouse])
@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name.replace(" ", "-"))
def test_a_daily_job(new_context: Callable[..., BrowserContext], scene: JobScene, job: Job, hand_of: type[Hand]):
    job.prepare(scene)
    hand = hand_of(job.open(scene, new_context(permissions=["clipboard-read", "clipboard-write"])))
    job.act(hand, scene)
    job.check(scene)
    if hand_of is Mouse:
        assert hand.presses <= job.most_clicks
