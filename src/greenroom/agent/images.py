"""The images on this host, and the pulls of those it should have."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog

from greenroom.core.backoff import Backoff
from greenroom.core.errors import GreenroomError
from greenroom.kit.concurrency import wait_for
from greenroom.runtimes import contract
from greenroom.runtimes.contract import Credentials, Image, PullError, RuntimeUnavailable
from greenroom.wire.messages import DesiredImage, ImageReport

log = structlog.get_logger(__name__)

LOOK_EVERY_S: Final = 30.0
BACKOFF: Final = Backoff(first_s=5.0, max_s=300.0)
"""Pause before an image that could not be pulled is retried."""
STALLED_S: Final = 300.0
"""A pull without progress for this long has failed, so that it does not block other images forever."""


class Images:
    """`on_change` is called when there is something new to report."""

    def __init__(self, runtime: contract.Images, on_change: Callable[[], None] = lambda: None) -> None:
        self._runtime = runtime
        self._on_change = on_change
        self._wanted: dict[str, DesiredImage] = {}
        self._reports: dict[str, ImageReport] = {}
        self._failures: dict[str, tuple[int, float]] = {}
        self._arrived: list[ImageReport] | None = None
        self._wake = asyncio.Event()
        self._changed = asyncio.Condition()

    def want(self, images: list[DesiredImage]) -> None:
        wanted = {image.name: image for image in images}
        if wanted != (before := self._wanted):
            self._wanted = wanted
            self._wake.set()
            self._failures = {n: f for n, f in self._failures.items() if wanted.get(n) == before.get(n)}

    def report(self) -> list[ImageReport] | None:
        """All images and their states, or None if the Manager has them already."""
        reports = sorted(self._reports.values(), key=lambda report: report.name)
        return None if reports == self._arrived else reports

    def reported(self, reports: list[ImageReport]) -> None:
        self._arrived = reports

    def start_again(self) -> None:
        """The Manager has no report yet."""
        self._arrived = None

    async def arrived(self, name: str) -> None:
        """Wait until the image is here or could not be pulled; returns at once if it is not wanted here."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._is_coming(name))

    def _is_coming(self, name: str) -> bool:
        report = self._reports.get(name)
        return name in self._wanted and (report is None or report.state in {"absent", "pulling"})

    async def run(self) -> None:
        while True:
            try:
                await self.look()
                await self._pull_missing()
            except RuntimeUnavailable as error:
                log.warning("the images of this host are not known", reason=error.message, next_try_s=LOOK_EVERY_S)
            await wait_for(self._wake, self._pause_s())
            self._wake.clear()

    def _pause_s(self) -> float:
        now = time.monotonic()
        due = [until - now for name, (_, until) in self._failures.items() if name in self._wanted]
        return max(0.1, min([LOOK_EVERY_S, *due]))

    async def look(self) -> None:
        """Raises RuntimeUnavailable: the runtime does not answer."""
        present = {image.name: image for image in await self._runtime.images()}
        present |= await self._also_known_as(self._wanted.keys() - present.keys())
        kept = {
            n: r for n, r in self._reports.items() if n in self._wanted and n not in present and r.state == "failed"
        }
        absent = {name: ImageReport(name=name, state="absent") for name in self._wanted if name not in present}
        found = {i.name: ImageReport(name=i.name, state="present", digest=i.digest) for i in present.values()}
        self._failures = {name: failure for name, failure in self._failures.items() if name not in present}
        if self._reports != (reports := absent | kept | found):
            self._reports = reports
            await self._notify()

    async def _also_known_as(self, names: set[str]) -> dict[str, Image]:
        """Those of these names that the runtime knows although it lists them differently: `desk` for `desk:latest`."""
        found = [await self._runtime.image(name) for name in sorted(names)]
        return {image.name: image for image in found if image is not None}

    async def _pull_missing(self) -> None:
        now = time.monotonic()
        for name, image in list(self._wanted.items()):
            report = self._reports.get(name)
            if image.password_withheld:
                continue
            if (report is None or report.state != "present") and self._failures.get(name, (0, 0.0))[1] <= now:
                await self._pull(image)

    async def _pull(self, image: DesiredImage) -> None:
        credentials = Credentials(user=image.user, password=image.password) if image.user else None
        if image.name not in self._failures:  # a failed image is shown as failed until something arrives
            await self._set(ImageReport(name=image.name, state="pulling"))
        try:
            async with asyncio.timeout(STALLED_S) as limit:
                async for progress in self._runtime.pull(image.name, credentials):
                    limit.reschedule(asyncio.get_running_loop().time() + STALLED_S)
                    await self._set(ImageReport(name=image.name, state="pulling", progress=progress))
        except TimeoutError:
            sentence = f"The image {image.name} could not be fetched: nothing came for {STALLED_S:.0f} s."
            await self._pull_failed(image.name, PullError(sentence))
        except RuntimeUnavailable:
            await self._set(ImageReport(name=image.name, state="absent"))
            raise
        except GreenroomError as error:
            await self._pull_failed(image.name, error)
        else:
            await self.look()
            await self._check_fetched(image.name)

    async def _check_fetched(self, name: str) -> None:
        """A pull that lost its connection looks like a completed one."""
        report = self._reports.get(name)
        if report is not None and report.state == "present":
            log.info("fetched an image", image=name)
        elif name in self._wanted:
            sentence = f"The image {name} could not be fetched: the runtime ended without having it."
            await self._pull_failed(name, PullError(sentence))

    async def _pull_failed(self, name: str, error: GreenroomError) -> None:
        failures = self._failures.get(name, (0, 0.0))[0] + 1
        pause_s = BACKOFF.delay_s(failures)
        self._failures[name] = (failures, time.monotonic() + pause_s)
        if not isinstance(error, PullError):
            log.error("an image cannot be fetched", image=name, error_code=error.code)
        log.warning("an image could not be fetched", image=name, reason=error.message, next_try_s=pause_s)
        await self._set(ImageReport(name=name, state="failed", error=error.message))

    async def _set(self, report: ImageReport) -> None:
        if self._reports.get(report.name) != report:
            self._reports[report.name] = report
            await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()
        self._on_change()
