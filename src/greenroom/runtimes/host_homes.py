"""The homes that a host keeps between sessions, as folders below one folder that only the Agent can read.

The name of a home consists of two ids, and only the folder of this home is mounted into a session. `du` and `rm`
measure and remove homes, as separate processes with low priority: they follow no link, stay on one file system and
support any depth of folders. If a network file system does not answer, only these processes wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from greenroom.core.workspace.homes import HomeId, home_with_name, parse_removal_name, removal_name
from greenroom.runtimes.contract import HomeError, HomeInUseError, HomeSize, StoredHome

DEFAULT_FOLDER: Final = "/var/lib/greenroom/homes"
MEASURE_TIMEOUT_S: Final = 60.0
DISK_TIMEOUT_S: Final = 20.0
"""The time limit of an access to the folder of the homes."""
MAX_ERROR_CHARACTERS: Final = 300
_LOW_PRIORITY: Final = ("nice", "-n", "19")
_REMOVED_FOLDER: Final = ".removed"
"""The name of the folder next to the homes, for homes that are being removed."""

Result = TypeVar("Result")


class HostHomes:
    """The homes in `folder`, which is created when first needed."""

    def __init__(self, folder: Path | str = DEFAULT_FOLDER) -> None:
        self.folder = str(folder)
        self._removed_folder = f"{self.folder}/{_REMOVED_FOLDER}"
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="homes")
        self._hanging_program: asyncio.subprocess.Process | None = None

    def path_of(self, home: HomeId) -> str:
        return f"{self.folder}/{home.name}"

    def home_at(self, path: str) -> HomeId | None:
        """Return the home that has this folder; None if it is not the folder of a home."""
        parent, _, name = path.rpartition("/")
        return home_with_name(name) if parent == self.folder else None

    def create_folder(self) -> None:
        """Create the folder if it is missing. Only the Agent can read it, because another account of the host may have
        the user id of the homes' owner. Raises OSError."""
        folder = Path(self.folder)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)

    def make(self, homes: Iterable[HomeId]) -> None:
        """Create missing homes, empty. Raises OSError."""
        for home in homes:
            Path(self.path_of(home)).mkdir(mode=0o700, parents=True, exist_ok=True)

    async def list_homes(self) -> list[StoredHome]:
        """List the homes. Raises HomeError: the folder cannot be read."""
        return await self._run_in_thread(self._list_homes, "The home folders cannot be listed")

    def _list_homes(self) -> list[StoredHome]:
        kept_homes = [
            StoredHome(home=home) for name in _folder_names(self.folder) if (home := home_with_name(name)) is not None
        ]
        removals = [
            removal for name in _folder_names(self._removed_folder) if (removal := parse_removal_name(name)) is not None
        ]
        return [*kept_homes, *(StoredHome(home=home, removal_id=removal_id) for home, removal_id in removals)]

    async def measure(self, home: HomeId) -> HomeSize | None:
        """Implements `contract.Homes.measure`."""
        if self._hanging_program is not None and self._hanging_program.returncode is None:
            raise HomeError(
                "The home folders cannot be measured: their disk has not answered since the last measurement."
            )
        if not await self._run_in_thread(
            partial(os.path.lexists, self.path_of(home)), "The home folder cannot be inspected"
        ):
            return None
        du = ("du", "--summarize", "--one-file-system", "--block-size=1", "--time", "--time-style=+%s", "--")
        # The exit code of du is not used: it is 1 if files are deleted while du counts, but du still prints a sum.
        output, error_output = await self._run_program((*_LOW_PRIORITY, *du, self.path_of(home)), MEASURE_TIMEOUT_S)
        size, changed, *_ = [*output.split(b"\t", 2), b"", b""]
        if not size.isdigit():
            raise HomeError(f"The home folder could not be measured: {error_output or 'du returned no size'}.")
        return HomeSize(size_bytes=int(size), changed=float(changed) if changed.isdigit() else None)

    async def remove(self, home: HomeId, removal_id: str) -> None:
        """Implements `contract.Homes.remove`, for a home without a container."""
        removed_path = f"{self._removed_folder}/{removal_name(home, removal_id)}"
        await self._run_in_thread(partial(self._move_away, home, removed_path), "The home folder cannot be moved away")
        _, error_output = await self._run_program(
            (*_LOW_PRIORITY, "rm", "-rf", "--one-file-system", "--", removed_path)
        )
        if await self._run_in_thread(partial(os.path.lexists, removed_path), "The home folder cannot be inspected"):
            raise HomeError(f"A part of the home folder cannot be removed: {error_output or 'it still exists'}.")

    def _move_away(self, home: HomeId, removed_path: str) -> None:
        if os.path.lexists(removed_path):  # this removal moved it before a restart; the home's folder is newer
            return
        Path(self._removed_folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.path_of(home), removed_path)  # noqa: PTH104 -- a link would be renamed, not followed

    async def _run_in_thread(self, work: Callable[[], Result], problem: str) -> Result:
        """Run the work in a separate thread, because a network file system may never answer."""
        try:
            async with asyncio.timeout(DISK_TIMEOUT_S):
                return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except TimeoutError as error:
            raise HomeError(f"{problem}: the disk did not answer within {DISK_TIMEOUT_S:g} s.") from error
        except OSError as error:
            raise HomeError(f"{problem}: {error.strerror}.") from error

    async def _run_program(self, argv: tuple[str, ...], timeout_s: float | None = None) -> tuple[bytes, str]:
        """Run a program. Return its output and the end of its error output."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe, env={**os.environ, "LC_ALL": "C"}
        )
        try:
            async with asyncio.timeout(timeout_s):
                output, error_output = await process.communicate()
        except TimeoutError as error:
            raise HomeError(f"The home folder could not be measured within {timeout_s:g} s: too many files.") from error
        finally:
            if process.returncode is None:  # not awaited: a program may wait for a file system forever
                process.kill()
                self._hanging_program = process
        return output, error_output.decode(errors="replace").strip()[-MAX_ERROR_CHARACTERS:].rstrip(".")


@dataclass(frozen=True, slots=True)
class HomesOnHost:
    """Implements `contract.Homes`; the runtime provides `in_use`."""

    host_homes: HostHomes
    in_use: Callable[[], Awaitable[dict[HomeId, str]]]

    async def list(self) -> list[StoredHome]:
        return await self.host_homes.list_homes()

    async def measure(self, home: HomeId) -> HomeSize | None:
        return await self.host_homes.measure(home)

    async def remove(self, home: HomeId, removal_id: str) -> None:
        if session_id := (await self.in_use()).get(home):
            raise HomeInUseError(f"The container of session {session_id} still uses the home folder.")
        await self.host_homes.remove(home, removal_id)


def _folder_names(path: str) -> list[str]:
    """Return the names of the folders in the folder at `path`, without links; empty if it is missing."""
    with contextlib.suppress(FileNotFoundError), os.scandir(path) as entries:
        return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    return []
