"""The images of this host. A missing image is pulled from a registry, copied from another Agent, or built."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final

import msgspec
import structlog

from greenroom.agent.copying import ImageReceiver
from greenroom.core.catalogue.fetch_methods import (
    FetchChoice,
    FetchMethod,
    fetch_methods,
    method_after_failures,
    names_registry,
)
from greenroom.core.errors import GreenroomError
from greenroom.core.rate_limits import Backoff
from greenroom.core.workspace.definition import Refresh, may_be_refreshed
from greenroom.kit import recipes
from greenroom.kit.concurrency import convert_item_error, wait_for, warn_of_item_error
from greenroom.runtimes import contract
from greenroom.runtimes.contract import BuildHost, Credentials, Image, LogInStore, PullError, RuntimeUnavailable
from greenroom.wire.messages import DesiredImage, ImageReport

STALL_TIMEOUT_S: Final[dict[FetchMethod, float]] = {"pulling": 300.0, "copying": 300.0, "building": 1200.0}
"""Method → the time without progress after which an image counts as failed, so that other images can be fetched."""


class Fetcher:
    """Fetches images for this host: from a registry, by a recipe, or as a copy from another Agent (with `receiver`)."""

    def __init__(self, runtime: contract.Images, receiver: ImageReceiver | None = None) -> None:
        self._runtime = runtime
        self._receiver = receiver

    async def find_sources(self, missing: Iterable[DesiredImage]) -> None:
        """Find the Agents from which missing images without a registry can be copied."""
        if self._receiver is not None:
            await self._receiver.find_sources(
                [image.name for image in missing if not names_registry(image.name, image.registry)]
            )

    def fetch_methods(self, image: DesiredImage) -> tuple[FetchChoice, ...]:
        buildable = isinstance(self._runtime, BuildHost) and _has_recipe(image.name)
        has_source = self._receiver is not None and self._receiver.has_source(image.name)
        return fetch_methods(image.name, image.registry, elsewhere=has_source, buildable=buildable)

    def has_recipe(self, image: DesiredImage) -> bool:
        """Return True if the image has no registry, and this version of the Agent has a recipe for it."""
        return not names_registry(image.name, image.registry) and _has_recipe(image.name)

    def size_bytes(self, image: DesiredImage, method: FetchMethod) -> int:
        """Return the number of bytes to fetch; 0 = unknown."""
        return self._receiver.size_bytes(image.name) if method == "copying" and self._receiver is not None else 0

    def fetch(self, image: DesiredImage, method: FetchMethod) -> AsyncIterator[int]:
        """Fetch the image with this method. Yields the progress in percent. The caller must check afterwards that the
        image is present. Raises PullError: the registry or the other Agent did not send the image. Raises BuildError:
        the image could not be built."""
        if method == "copying" and self._receiver is not None:
            return self._receiver.copy(image.name)
        if method == "building":
            return self._build(image.name)
        return self._pull(image)

    async def _pull(self, image: DesiredImage) -> AsyncIterator[int]:
        try:
            async for percent in self._runtime.pull(image.name, credentials_of(image)):
                yield percent
        except PullError as error:
            if image.name.startswith(recipes.REPOSITORY) and recipes.find_recipes() is None:
                raise PullError(f"{error.message} {recipes.NOT_INSTALLED}") from error
            raise

    async def _build(self, name: str) -> AsyncIterator[int]:
        installed_recipes = recipes.find_recipes()
        if installed_recipes is None or not isinstance(self._runtime, BuildHost):
            raise PullError(f"The image {name} cannot be built on this host.")
        yield 0
        async with self._runtime.open_builder() as builder:
            async for percent in installed_recipes.build(name, builder):
                yield percent


def credentials_of(image: DesiredImage) -> Credentials | None:
    """Return the log-in for the registry of the image, or None if it needs none."""
    return Credentials(user=image.user, password=image.password) if image.user else None


def _has_recipe(name: str) -> bool:
    installed_recipes = recipes.find_recipes()
    return installed_recipes is not None and installed_recipes.has(name)


log = structlog.get_logger(__name__)

POLL_S: Final = 30.0
BACKOFF: Final = Backoff(first_s=5.0, max_s=300.0)
"""The pause after a failed attempt to fetch an image."""
PULL_METHODS: Final[frozenset[FetchMethod]] = frozenset({"pulling", "copying"})
LANE_METHODS: Final[tuple[frozenset[FetchMethod], ...]] = (PULL_METHODS, frozenset({"building"}))
"""The fetch methods of each lane. A lane fetches one image at a time. Builds have a separate lane, because they take
minutes."""


class ImageKeeper:
    """Fetches the desired images of this host. `on_change` is called after a change that must be reported. `receiver`
    copies images from other Agents; None = they are not copied."""

    def __init__(
        self,
        runtime: contract.Images,
        on_change: Callable[[], None] = lambda: None,
        receiver: ImageReceiver | None = None,
    ) -> None:
        self._runtime = runtime
        self._on_change = on_change
        self._desired: dict[str, DesiredImage] = {}
        self._has_list = False
        self._reports: dict[str, ImageReport] = {}
        self._failures: dict[str, tuple[int, float]] = {}
        """Image → the number of failed attempts, and the time of the next one (time.monotonic())."""
        self._refreshes: dict[str, Refresh] = {}
        self._fetcher = Fetcher(runtime, receiver)
        self._in_progress: set[str] = set()
        self._last_report: list[ImageReport] | None = None
        self._wakes = {lane: asyncio.Event() for lane in LANE_METHODS}
        self._changed = asyncio.Condition()

    def set_desired(self, images: list[DesiredImage]) -> None:
        self._has_list = True
        images_by_name = {image.name: image for image in images}
        if images_by_name != (before := self._desired):
            self._desired = images_by_name
            for wake in self._wakes.values():
                wake.set()
            self._failures = {k: v for k, v in self._failures.items() if images_by_name.get(k) == before.get(k)}

    def report(self) -> list[ImageReport] | None:
        """Return all images with their states, or None if the Manager already has this report."""
        reports = sorted(self._reports.values(), key=lambda report: report.name)
        return None if reports == self._last_report else reports

    def reported(self, reports: list[ImageReport]) -> None:
        """Record that this report arrived at the Manager."""
        self._last_report = reports

    def report_all_again(self) -> None:
        """Report all images again, because the Manager has no report."""
        self._last_report = None

    async def wait_until_arrived(self, name: str) -> None:
        """Wait until the image is present or its fetch failed. Return immediately if it is not a desired image."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._is_being_fetched(name))

    def _is_being_fetched(self, name: str) -> bool:
        report = self._reports.get(name)
        return name in self._desired and (report is None or report.state in {"absent", "pulling"})

    async def run(self) -> None:
        async with asyncio.TaskGroup() as lanes:
            for lane in LANE_METHODS:
                lanes.create_task(self._run_lane(lane))

    async def _run_lane(self, lane: frozenset[FetchMethod]) -> None:
        while True:
            try:
                await self.read_images()
                if lane is PULL_METHODS:
                    await self._store_log_ins()
                await self._fetcher.find_sources(self._due_images())
                await self._fetch_missing(lane)
                if lane is PULL_METHODS:
                    await self._refresh_due()
            except GreenroomError as error:
                log.warning("the images of this host cannot be listed", reason=error.message, next_try_s=POLL_S)
            wake = self._wakes[lane]
            await wait_for(wake, self._pause_s(lane))
            wake.clear()

    def _pause_s(self, lane: frozenset[FetchMethod]) -> float:
        now = time.monotonic()
        due = [self._failures[i.name][1] - now for i, _ in self._choices_of_lane(lane) if i.name in self._failures]
        if lane is PULL_METHODS:
            due += [at - now for _, at in self._images_to_refresh()]
        return max(0.1, min([POLL_S, *due]))

    def _choices_of_lane(self, lane: frozenset[FetchMethod]) -> list[tuple[DesiredImage, FetchChoice]]:
        """Return the images to fetch in this lane, each with its method."""
        choices = [
            (
                image,
                method_after_failures(self._fetcher.fetch_methods(image), self._failures.get(image.name, (0, 0.0))[0]),
            )
            for image in self._missing_images()
        ]
        return [(image, fetch_choice) for image, fetch_choice in choices if fetch_choice.method in lane]

    def _missing_images(self) -> list[DesiredImage]:
        return [
            image
            for name, image in self._desired.items()
            if name not in self._in_progress and not image.password_withheld and not self._is_present(name)
        ]

    def _due_images(self) -> list[DesiredImage]:
        """Return the images to fetch, except those that back off after a failure."""
        now = time.monotonic()
        return [image for image in self._missing_images() if self._failures.get(image.name, (0, 0.0))[1] <= now]

    def _is_present(self, name: str) -> bool:
        report = self._reports.get(name)
        return report is not None and report.state == "present"

    async def read_images(self) -> None:
        """Read the images of the host. Raises RuntimeUnavailable: the runtime does not answer."""
        present = {image.name: image for image in await self._runtime.images()}
        aliases, unreadable = await self._find_aliases(self._desired.keys() - present.keys())
        present |= aliases
        unchanged = {
            k: report
            for k, report in self._reports.items()
            if k in self._desired and k not in present and (report.state == "failed" or k in self._in_progress)
        }
        absent = {name: ImageReport(name=name, state="absent") for name in self._desired if name not in present}
        present_images = {
            i.name: ImageReport(
                name=i.name,
                state="present",
                digest=i.digest,
                size_bytes=i.size_bytes,
                error=(refresh := self._refreshes.get(i.name, Refresh())).error,
                refreshed=refresh.admin_request,
            )
            for i in present.values()
        }
        self._failures = {name: failure for name, failure in self._failures.items() if name not in present}
        if self._reports != (reports := absent | unchanged | present_images):
            self._reports = reports
            await self._notify()
        for name, error in unreadable.items():
            if name not in self._failures and name not in self._in_progress:
                await self._record_failure(name, error)

    async def _store_log_ins(self) -> None:
        """Store the log-ins for registries, if the desired images are known. Only the lane of pulls calls this method,
        so that no pull runs at the same time.
        """
        if self._has_list and isinstance(self._runtime, LogInStore):
            images_by_name = self._desired
            credentials = {
                name: credentials_of(image) for name, image in images_by_name.items() if not image.password_withheld
            }
            with warn_of_item_error(log, "registry log-ins cannot be stored", "registry log-ins", next_try_s=POLL_S):
                await self._runtime.store_log_ins(images_by_name.keys(), credentials)

    async def _find_aliases(self, names: set[str]) -> tuple[dict[str, Image], dict[str, GreenroomError]]:
        """Look up names that are not in the list of the runtime, which lists an image `desk` as `desk:latest`. Return
        name → image, and name → error for the names that cannot be looked up. Raises RuntimeUnavailable: the runtime
        does not answer.
        """
        aliases, refused = dict[str, Image](), dict[str, GreenroomError]()
        for name in sorted(names):
            try:
                with convert_item_error("image", name):
                    if (image := await self._runtime.image(name)) is not None:
                        aliases[name] = image
            except GreenroomError as error:
                await self._require_runtime(error)
                refused[name] = error
        return aliases, refused

    async def _require_runtime(self, error: GreenroomError) -> None:
        """Raise RuntimeUnavailable if the runtime does not answer. If it answers, `error` concerns only one image."""
        if isinstance(error, RuntimeUnavailable):
            await self._runtime.images()

    async def _fetch_missing(self, lane: frozenset[FetchMethod]) -> None:
        for image, fetch_choice in self._choices_of_lane(lane):
            _, due = self._failures.get(image.name, (0, 0.0))
            if due <= time.monotonic() and image.name in self._desired:
                await self._fetch(image, fetch_choice)

    async def _fetch(self, image: DesiredImage, fetch_choice: FetchChoice) -> None:
        self._in_progress.add(image.name)
        try:
            await self._fetch_and_report(image, fetch_choice)
        finally:
            self._in_progress.discard(image.name)

    async def _fetch_and_report(self, image: DesiredImage, fetch_choice: FetchChoice) -> None:
        method = fetch_choice.method
        size_bytes = self._fetcher.size_bytes(image, method)
        report = ImageReport(
            name=image.name, state="pulling", how=method, reason=fetch_choice.reason, size_bytes=size_bytes
        )
        if image.name not in self._failures:  # a failed image stays `failed` until data arrives
            await self._store_report(report)
        try:
            await self._fetch_with_progress(image, method, report)
        except RuntimeUnavailable as error:
            await self._store_report(ImageReport(name=image.name, state="absent"))
            await self._require_runtime(error)
            await self._record_failure(image.name, error)
        except GreenroomError as error:
            await self._record_failure(image.name, error)
        else:
            self._in_progress.discard(image.name)
            await self.read_images()
            await self._check_fetched(image.name, method)

    async def _fetch_with_progress(
        self, image: DesiredImage, method: FetchMethod, report: ImageReport | None = None
    ) -> None:
        """Fetch an image, with its progress in the report. Raises GreenroomError: the reason why it did not arrive."""
        stalled_s = STALL_TIMEOUT_S[method]
        try:
            async with asyncio.timeout(stalled_s) as limit:
                with convert_item_error("image", image.name):
                    async for progress in self._fetcher.fetch(image, method):
                        limit.reschedule(asyncio.get_running_loop().time() + stalled_s)
                        if report is not None:
                            await self._store_report(msgspec.structs.replace(report, progress=progress))
        except TimeoutError as error:
            sentence = f"The image {image.name} could not be fetched: no data was received for {stalled_s:.0f} s."
            raise PullError(sentence) from error

    async def _check_fetched(self, name: str, method: FetchMethod) -> None:
        """Check that the image is present, because a pull that lost its connection ends without an error."""
        if self._is_present(name):
            log.info("fetched an image", image=name, how=method)
        elif name in self._desired:
            sentence = f"The image {name} could not be fetched: the runtime finished, but does not have the image."
            await self._record_failure(name, PullError(sentence))

    def _images_to_refresh(self) -> list[tuple[DesiredImage, float]]:
        """Return the present images to refresh from their registry, each with its due time (time.monotonic())."""
        due_images: list[tuple[DesiredImage, float]] = []
        for name, image in self._desired.items():
            due = self._refreshes.get(name, Refresh()).due(image.pull_policy, image.refresh)
            if due is not None and self._is_present(name) and not image.password_withheld:
                due_images.append((image, due))
        return due_images

    async def _refresh_due(self) -> None:
        for image, due in self._images_to_refresh():
            if self._wakes[PULL_METHODS].is_set():
                return  # an image of the new list may be missing, and has priority
            if due <= time.monotonic():
                await self._refresh(image)

    async def _refresh(self, image: DesiredImage) -> None:
        """Pull a present image again. If this fails, the image stays unchanged."""
        name, before = image.name, self._refreshes.get(image.name, Refresh())
        try:
            with convert_item_error("image", name):
                if may_be_refreshed(name, has_recipe=self._fetcher.has_recipe(image)):
                    await self._fetch_with_progress(image, "pulling")
        except GreenroomError as error:
            await self._require_runtime(error)
            log.warning("an image could not be refreshed", image=name, reason=error.message)
            sentence = f"The request to the registry for a newer image failed: {error.message}"
            self._refreshes[name] = before.failed_at(time.monotonic(), sentence)
        else:
            self._refreshes[name] = before.succeeded(time.monotonic(), image.refresh)
        await self.read_images()

    async def _record_failure(self, name: str, error: GreenroomError) -> None:
        failures = self._failures.get(name, (0, 0.0))[0] + 1
        pause_s = BACKOFF.delay_s(failures)
        self._failures[name] = (failures, time.monotonic() + pause_s)
        report = self._reports.get(name)
        if report is None or report.error != error.message:
            log.warning(
                "an image could not be fetched", image=name, code=error.code, reason=error.message, next_try_s=pause_s
            )
        await self._store_report(ImageReport(name=name, state="failed", error=error.message))

    async def _store_report(self, report: ImageReport) -> None:
        if self._reports.get(report.name) != report:
            self._reports[report.name] = report
            await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()
        self._on_change()
