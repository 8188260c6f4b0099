"""The log-ins at registries that an Agent stores for machines elsewhere: the last ones from the Manager, and no
guesses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager

import pytest
from tests.support.waiting import eventually

from greenroom.agent import images as module
from greenroom.agent.images import ImageKeeper
from greenroom.runtimes.contract import Credentials, Image
from greenroom.wire.messages import DesiredImage

THERE, WITHHELD = "r.example.org/desk:1", "r.example.org/closed:1"


class Elsewhere:
    """A runtime that has all images, and records the log-ins that it must store."""

    def __init__(self) -> None:
        self.kept: list[tuple[set[str], dict[str, Credentials | None]]] = []
        self.looks = 0

    async def images(self) -> list[Image]:
        self.looks += 1
        return [Image(name=name, digest="sha256:1") for name in (THERE, WITHHELD)]

    async def image(self, name: str) -> Image | None:
        raise AssertionError(name)

    def pull(self, name: str, credentials: Credentials | None = None) -> AsyncIterator[int]:
        raise AssertionError(name)

    async def store_log_ins(self, wanted: Collection[str], known: Mapping[str, Credentials | None]) -> None:
        self.kept.append(({*wanted}, {**known}))


@asynccontextmanager
async def working(runtime: Elsewhere) -> AsyncGenerator[ImageKeeper]:
    images = ImageKeeper(runtime)
    work = asyncio.create_task(images.run())
    try:
        yield images
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


def said(runtime: Elsewhere, password: str) -> bool:
    known = runtime.kept[-1][1] if runtime.kept else {}
    return known == {THERE: Credentials(user="ann", password=password)}


async def test_a_changed_password_of_an_image_that_is_there_is_passed_on():
    runtime = Elsewhere()
    async with working(runtime) as images:
        withheld = DesiredImage(name=WITHHELD, user="bob", password_withheld=True)
        images.set_desired([DesiredImage(name=THERE, user="ann", password="old"), withheld])
        await eventually(lambda: said(runtime, "old"))
        images.set_desired([DesiredImage(name=THERE, user="ann", password="new"), withheld])
        await eventually(lambda: said(runtime, "new"))
        assert runtime.kept[-1][0] == {THERE, WITHHELD}, "what is withheld is wanted all the same"


async def test_before_the_first_list_no_log_in_is_taken_away(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "POLL_S", 0.0)
    runtime = Elsewhere()
    async with working(runtime) as images:
        await eventually(lambda: runtime.looks >= 4)
        assert runtime.kept == []
        images.set_desired([])
        await eventually(lambda: runtime.kept)
        assert runtime.kept[-1] == (set(), {})
