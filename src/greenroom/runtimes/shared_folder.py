"""The shared records of simulated Agents with one identity: files of a folder."""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from greenroom.core.fleet.lease import LeaseRecord
from greenroom.runtimes.contract import ContainerConflict, Kept


class SharedFolder:
    """Implements `contract.Shared`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def place(self) -> str:
        return hashlib.sha256(str(self._folder.resolve()).encode()).hexdigest()[:32]

    @property
    def name(self) -> str:
        return self._folder.name

    async def open(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    async def close(self) -> None:
        """Do nothing: no resource is open."""

    async def read_lease(self) -> tuple[LeaseRecord | None, str | None]:
        kept = await self.read("lease")
        return (msgspec.json.decode(kept.content, type=LeaseRecord), kept.version) if kept else (None, None)

    async def write_lease(self, record: LeaseRecord, version: str | None) -> str:
        return await self.write("lease", msgspec.json.encode(record), version)

    async def read(self, name: str) -> Kept | None:
        with self._locked():
            return self._read(name)

    async def write(self, name: str, content: bytes, version: str | None) -> str:
        with self._locked():
            before = self._read(name)
            if (before.version if before else None) != version:
                raise ContainerConflict(f"Another process changed {name} in the meantime.")
            number = str(int(version or "0") + 1)
            part = self._folder / f"{name}.part"
            part.write_bytes(number.encode() + b"\n" + content)
            part.replace(self._folder / name)
            return number

    def _read(self, name: str) -> Kept | None:
        try:
            version, _, content = (self._folder / name).read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        return Kept(content, version.decode())

    @contextmanager
    def _locked(self) -> Generator[None]:
        with (self._folder / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
