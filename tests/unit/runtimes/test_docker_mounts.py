"""Folders of the host that never answer: sessions without them continue."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

from greenroom.core.workspace.session_spec import Mount
from greenroom.runtimes.docker.mounts import THREAD_COUNT, DockerMounts
from greenroom.runtimes.host_folders import HostFolders


class HangingFolders(HostFolders):
    """Folders that answer once `answer` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = threading.Event()

    def prepare(self, mounts: Sequence[Mount], session_id: str) -> None:
        """Wait."""
        del mounts, session_id
        self.answer.wait()


async def test_folders_that_never_answer_take_no_thread_that_others_need():
    """These include the fsync of the journal, without which no session is handed over."""
    folders = HangingFolders()
    mounts = DockerMounts(folders)
    hanging = [asyncio.create_task(mounts.prepare((), "session")) for _ in range(4 * THREAD_COUNT)]
    try:
        await asyncio.sleep(0)
        async with asyncio.timeout(30):
            assert await asyncio.to_thread(threading.current_thread) is not threading.main_thread()
    finally:
        folders.answer.set()
        await asyncio.gather(*hanging)
