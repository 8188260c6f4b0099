"""The socket in DATA on which the process `up` accepts the requests of `greenroom upgrade` to replace roles and `up`.

Only the account that started `up` can reach the socket. Each connection has one request and one answer; each is one
line of JSON. The client can have the next version, so fields may be added, but not removed or renamed.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final, NoReturn, Self

import msgspec
import structlog

from greenroom.core.errors import SetupError
from greenroom.core.text import summary
from greenroom.kit import plugins
from greenroom.kit.program import version
from greenroom.up import roles
from greenroom.up.layout import Layout
from greenroom.up.programs import Programs
from greenroom.up.site import Site
from greenroom.up.supervisor import FORK_SERVER, Part, Supervisor

log = structlog.get_logger(__name__)

CHANGE_WITHIN_S: Final = 30.0
"""The time limit of one change: the fork server loads programs, or a role ends and its next process starts."""
ANSWER_WITHIN_S: Final = CHANGE_WITHIN_S + 5.0
REQUEST_WITHIN_S: Final = 5.0
"""The time limit from the connection to the request. An open connection delays the end of `up` (since Python 3.12)."""


class ProgramFiles(msgspec.Struct, frozen=True, kw_only=True):
    """The paths of the programs of a version. All accounts of the instance can read these programs."""

    python: str
    postgres: str
    console: str

    @classmethod
    def of(cls, programs: Programs) -> Self:
        return cls(python=str(programs.python), postgres=str(programs.postgres), console=str(programs.console))

    @property
    def programs(self) -> Programs:
        return Programs(Path(self.python), Path(self.postgres), Path(self.console))


class Describe(msgspec.Struct, frozen=True, tag="describe"):
    """Return the version, the programs and the plug-ins of `up`."""


class UsePrograms(msgspec.Struct, frozen=True, tag="use-programs"):
    """Start every later process with these programs. Running roles continue."""

    files: ProgramFiles


class ReplaceRole(msgspec.Struct, frozen=True, tag="replace-role"):
    """End the process of a role, and start the next one."""

    name: str


class BecomeUp(msgspec.Struct, frozen=True, tag="become-up"):
    """Run these programs in the process `up`, which keeps its pid and its children. `up` sends the answer first."""

    files: ProgramFiles


Request = Describe | UsePrograms | ReplaceRole | BecomeUp


class ControlAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a request. `error` is a sentence, empty after a success."""

    error: str = ""
    version: str = ""
    files: ProgramFiles | None = None
    """The programs of this `up`; None if they are copies in DATA."""
    plugins: tuple[str, ...] = ()
    """The installed distributions that offer plug-ins."""


class UpControl:
    """Executes the requests for a running instance. `become_up` replaces the process."""

    def __init__(self, site: Site, supervisor: Supervisor, become_up: Callable[[Site], NoReturn]) -> None:
        own_files = ProgramFiles.of(replace(site.programs, python=Path(sys.executable)))
        self._own_files = None if site.programs.environment else own_files
        self._site = site
        self._supervisor = supervisor
        self._become_up = become_up
        self._version, self._plugins = version(), tuple(plugins.distributions())
        """Read at the start, because other packages may be installed later."""
        self._lock = asyncio.Lock()
        """Held while a request is executed. A second request can arrive if the client of the first one was killed."""

    async def serve(self) -> None:
        """Accept requests until cancelled."""
        path = self._site.layout.control
        path.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._handle, path)
        path.chmod(0o600)
        try:
            await server.serve_forever()
        finally:
            path.unlink(missing_ok=True)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_WITHIN_S):
                line = await reader.readline()
            request = msgspec.json.decode(line, type=Request)
            async with self._lock:
                answer = await self._answer(request)
            writer.write(msgspec.json.encode(answer) + b"\n")
            await writer.drain()
            if isinstance(request, BecomeUp):
                self._replace_up(request.files)
        except (msgspec.MsgspecError, OSError, ValueError) as error:
            log.warning("a request of an upgrade failed", reason=summary(error))
        finally:
            writer.close()

    async def _answer(self, request: Request) -> ControlAnswer:
        match request:
            case UsePrograms():
                return ControlAnswer(error=await self._change_programs(request.files))
            case ReplaceRole():
                return ControlAnswer(error=await self._replace_role(request.name))
            case _:
                pass
        return ControlAnswer(version=self._version, files=self._own_files, plugins=self._plugins)

    async def _change_programs(self, files: ProgramFiles) -> str:
        """Change the programs of later processes, and wait until the fork server has loaded them. Return the reason of
        a failure as a sentence, empty after a success.
        """
        log.info("the programs of the roles change", python=files.python)
        self._site = replace(self._site, programs=files.programs)
        parts = {part.name: part for part in roles.all_parts(self._site, self._supervisor.forks)}
        for part in self._supervisor.parts:
            part.command = parts[part.name].command
        self._supervisor.forks.close()
        self._supervisor.restart(self._part(FORK_SERVER), "it has loaded other programs")
        try:
            async with asyncio.timeout(CHANGE_WITHIN_S):
                await self._supervisor.forks.wait_until_ready()
        except TimeoutError:
            log_file = self._site.layout.log(FORK_SERVER)
            return f"The roles were not loaded within {CHANGE_WITHIN_S:g} s; see {log_file}."
        return ""

    def _part(self, name: str) -> Part:
        return next(part for part in self._supervisor.parts if part.name == name)

    async def _replace_role(self, name: str) -> str:
        """Replace a role. Return the reason of a failure as a sentence, empty after a success."""
        try:
            async with asyncio.timeout(CHANGE_WITHIN_S):
                pid = await self._supervisor.replace(self._part(name))
        except TimeoutError:
            return f"{name} was not started within {CHANGE_WITHIN_S:g} s."
        log.info("a role was replaced", part=name, pid=pid)
        return ""

    def _replace_up(self, files: ProgramFiles) -> NoReturn:
        log.info("up changes to other programs", python=files.python)
        self._become_up(replace(self._site, programs=files.programs))


async def send_request(layout: Layout, message: Request) -> ControlAnswer:
    """Send a request to the `up` of an instance, and return its answer.

    Raises:
        SetupError: `up` does not answer, or the request failed.
    """
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            reader, writer = await asyncio.open_unix_connection(layout.control)
            try:
                writer.write(msgspec.json.encode(message) + b"\n")
                answer = msgspec.json.decode(await reader.readline(), type=ControlAnswer)
            finally:
                writer.close()
    except FileNotFoundError as error:
        raise SetupError(f"The instance in {layout.data} is not ready; wait until greenroom up is ready.") from error
    except PermissionError as error:
        raise SetupError(f"This account cannot control {layout.data}; run the command as its owner.") from error
    except (OSError, TimeoutError, msgspec.MsgspecError) as error:
        raise SetupError(f"The supervisor of {layout.data} does not answer ({summary(error)}).") from error
    if answer.error:
        raise SetupError(answer.error)
    return answer
