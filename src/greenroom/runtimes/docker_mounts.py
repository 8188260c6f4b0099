"""Folders of the host in Docker's containers: prepared before one is made, compared when it has started."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, TypeVar

import structlog

from greenroom.core.sessions import File, Mount
from greenroom.runtimes.base import StartError
from greenroom.runtimes.host_folders import HostFolders, Identity, mounted
from greenroom.runtimes.mount_flags import forbid_set_user_id

log = structlog.get_logger(__name__)

THREADS: Final = 16
"""That wait for file systems: one of another machine may never answer, and keeps its thread for as long."""

Result = TypeVar("Result")


class DockerMounts:
    """See the module; nothing here waits for a file system on the event loop, or in a thread that others need."""

    def __init__(self, folders: HostFolders) -> None:
        self._folders = folders
        self._said = False
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="folders")

    async def _aside(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def never(self, folder: str) -> None:
        """From now on nothing of `folder` is mounted."""
        self._folders.private.add(folder)

    async def prepare(self, mounts: Sequence[Mount], session_id: str) -> None:
        """See `HostFolders.prepare`."""
        await self._aside(partial(self._folders.prepare, mounts, session_id))

    async def put_files(self, found: Mapping[str, Any], files: Sequence[File]) -> list[File]:
        """Write those of the files that go into a mounted folder; returns the others.

        The daemon would resolve the folder's path once more, when nothing can be compared yet.

        Raises:
            StartError: a folder is mounted read-only, is gone or was exchanged; or nothing is mounted there, and the
                root of the container is read-only.
        """
        places = {bind["Target"]: bind for bind in binds(found)}
        others: list[File] = []
        inside: dict[str, dict[str, File]] = defaultdict(dict)
        for file in files:
            place = max((place for place in places if file.path.startswith(f"{place}/")), key=len, default=None)
            if place is None:
                others.append(file)
            elif places[place].get("ReadOnly"):
                raise StartError(f"{file.path} cannot be put into the session: {place} is mounted read-only.")
            else:
                inside[places[place]["Source"]][file.path.removeprefix(f"{place}/")] = file
        if others and found["HostConfig"].get("ReadonlyRootfs"):
            raise StartError(
                f"{others[0].path} cannot be put into the session: its root is read-only (`read_only` of the run"
                " config), and no folder of the host is mounted there. Give the user a persistent profile."
            )
        for source, own in inside.items():
            await self._aside(partial(self._folders.put, source, own))
        return others

    async def checked(self, found: Mapping[str, Any]) -> dict[str, Identity]:
        """What should be at each place in the container that Docker describes by `found`, seen just before its start.

        Raises:
            StartError: a folder is gone, or may not be mounted (any more).
        """
        places = _places(found)
        if not places or found["State"]["Running"]:
            return {}
        identities = await self._aside(partial(self._folders.identities, sorted(set(places.values()))))
        return {place: identities[source] for place, source in places.items()}

    async def problem(self, found: Mapping[str, Any], expected: Mapping[str, Identity]) -> str | None:
        """Why the container that was just started may not run on, as a sentence; None = it may.

        Something else than `expected` was mounted, or what was cannot be looked at, or made `nosuid,nodev`.
        """
        try:
            problem = await self._exchanged(found, expected)
            if problem is None and expected:
                await self._forbid_set_user_id(int(found["State"]["Pid"]), sorted(expected))
        except StartError as error:
            return error.message
        return problem

    async def _forbid_set_user_id(self, pid: int, targets: Sequence[str]) -> None:
        cannot = await self._aside(partial(forbid_set_user_id, pid, targets)) if pid else None
        if cannot and not self._said:
            self._said = True
            log.warning("folders of the host are not nosuid,nodev in sessions", reason=f"the Agent {cannot}")

    async def _exchanged(self, found: Mapping[str, Any], expected: Mapping[str, Identity]) -> str | None:
        places, pid = _places(found), int(found["State"]["Pid"])
        for place, identity in expected.items():
            seen = await self._aside(partial(mounted, pid, place)) if pid else None
            if seen is not None and seen != identity:
                return f"{places[place]} was exchanged while the session started; it was stopped."
        return None


def _places(found: Mapping[str, Any]) -> dict[str, str]:
    """Place in the container → folder of the host."""
    return {bind["Target"]: bind["Source"] for bind in binds(found)}


def binds(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The folders of the host in the container that Docker describes by `found`, as they were asked for."""
    mounts: list[dict[str, Any]] = found["HostConfig"].get("Mounts") or []
    return [mount for mount in mounts if mount["Type"] == "bind"]
