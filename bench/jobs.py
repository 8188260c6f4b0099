"""The daily jobs at the console with the mouse: clicks and seconds of each, compared with the console before its
redesign.

The instance is simulated, and no one waits between two steps: the seconds are those of the console and of the browser.
"""

from __future__ import annotations

import time
from typing import Final

from playwright.sync_api import Browser, sync_playwright
from tests.acceptance.instance import running_instance
from tests.browser.own_machine import chromium_options
from tests.support.hands import Mouse
from tests.support.job_scene import JobScene, scene_at
from tests.support.jobs import JOBS, Job

from bench.table import Figure, median, spread

ROUNDS: Final = 3
MOST_CLICKS: Final = 20
"""The goal for all jobs together."""
BEFORE: Final = "before the redesign"


def _do(job: Job, scene: JobScene, browser: Browser) -> tuple[int, float]:
    """Do a job once; returns its clicks and seconds."""
    job.prepare(scene)
    context = browser.new_context(
        ignore_https_errors=True,
        viewport={"width": 1440, "height": 900},
        permissions=["clipboard-read", "clipboard-write"],
    )
    hand = Mouse(job.open(scene, context))
    begin = time.monotonic()
    job.act(hand, scene)
    seconds = time.monotonic() - begin
    context.close()
    job.check(scene)
    return hand.presses, seconds


def run() -> list[Figure]:
    """Do all jobs several times."""
    clicks: dict[str, int] = {}
    seconds: dict[str, list[float]] = {job.name: [] for job in JOBS}
    with (
        running_instance("--managers", "2", GREENROOM_RUNTIME="simulated") as instance,
        scene_at(instance) as scene,
        chromium_options() as options,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(**options)
        for _ in range(ROUNDS):
            for job in JOBS:
                clicks[job.name], second = _do(job, scene, browser)
                seconds[job.name].append(second)
        browser.close()
    together: list[float] = [sum(samples) for samples in zip(*seconds.values(), strict=True)]
    measured = [job.reviewed_s or median(seconds[job.name]) for job in JOBS]
    return [
        Figure(
            f"all {len(JOBS)} daily jobs: clicks", sum(clicks.values()), MOST_CLICKS, "clicks", "the goal", 1, goal=1
        ),
        Figure(
            f"all {len(JOBS)} daily jobs", median(together), sum(measured), "s", BEFORE, ROUNDS, spread(together),
            together, goal=1,
        ),
        *(figure for job in JOBS for figure in _figures_of(job, clicks[job.name], seconds[job.name])),
    ]  # fmt: skip


def _figures_of(job: Job, clicks: int, seconds: list[float]) -> list[Figure]:
    """The clicks and seconds of a job. What was not measured before the redesign has no goal."""
    name, clicks_before, seconds_before = f"daily job: {job.name}", job.reviewed_clicks, job.reviewed_s
    return [
        Figure(
            f"{name}: clicks", clicks, clicks if clicks_before is None else clicks_before, "clicks", BEFORE, 1,
            goal=None if clicks_before is None else 1,
        ),
        Figure(
            name, median(seconds), seconds_before or median(seconds), "s", BEFORE, len(seconds), spread(seconds),
            seconds, goal=1 if seconds_before else None,
        ),
    ]  # fmt: skip
