"""The data that the command `greenroom up` passes to the process `up`. After the command has created the files in DATA,
its process becomes `up`.

`up` is a new program (`up.main`) that imports only the modules of the roles, because it shares its memory with them. It
starts with the variables that every role may have, and reads the caller's environment after it has forked the fork
server.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn, Self

import msgspec
import structlog

from greenroom.core.errors import GreenroomError
from greenroom.core.text import shortened, summary
from greenroom.kit import program
from greenroom.kit.log import configure
from greenroom.up import instance, roles
from greenroom.up.fork_server import ForkServer
from greenroom.up.layout import Layout
from greenroom.up.programs import own_programs
from greenroom.up.progress import (
    EventProgress,
    Failed,
    InstanceDescription,
    Progress,
    Ready,
    show_ready,
    stderr_progress,
)
from greenroom.up.site import Site, site_of

log = structlog.get_logger(__name__)


class StartData(msgspec.Struct, frozen=True, kw_only=True):
    """The data for `up`. `environment` is that of the caller. `open_descriptors` are the lock on DATA and the reserved
    ports, which stay open until `up` ends. `events` is the pipe to the process that waits until `up` is ready; None =
    `up` prints that it is ready, as JSON if `as_json`. `adopts`: `up` adopts the roles of an `up` of another version.
    """

    data: str
    environment: dict[str, str]
    open_descriptors: tuple[int, ...]
    events: int | None
    as_json: bool
    adopts: bool = False

    def become_up(self, site: Site) -> NoReturn:
        """Replace this process by `up`, with the same pid and the same blocked signals."""
        descriptor = os.memfd_create("start data")
        os.write(descriptor, msgspec.json.encode(self))
        os.lseek(descriptor, 0, os.SEEK_SET)
        for file_descriptor in (descriptor, *self.descriptors):
            os.set_inheritable(file_descriptor, True)
        os.chdir(site.layout.data)
        command = site.programs.module("greenroom.up.main")
        os.execve(command[0], [*command, str(descriptor)], roles.common_environment(site))  # noqa: S606 -- this program

    def become_other_up(self, site: Site) -> NoReturn:
        """Run the `up` of another version in this process. The programs of `site` are those of the other version.

        Raises:
            OSError: the program cannot be started; this `up` continues.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, instance.END_SIGNALS)
        events = None if self.events is None else os.open(os.devnull, os.O_WRONLY)
        try:
            msgspec.structs.replace(self, adopts=True, events=events).become_up(site)
        except OSError:  # this `up` continues, and signals must end it
            signal.pthread_sigmask(signal.SIG_UNBLOCK, instance.END_SIGNALS)
            raise

    @classmethod
    def read(cls, descriptor: int) -> Self:
        with os.fdopen(descriptor, "rb") as file:
            data = msgspec.json.decode(file.read(), type=cls)
        for received in data.descriptors:
            os.set_inheritable(received, False)
        return data

    @property
    def descriptors(self) -> tuple[int, ...]:
        return self.open_descriptors if self.events is None else (*self.open_descriptors, self.events)

    def run(self, server: ForkServer, *, has_priority: bool) -> None:
        """Run the instance, with a fork server that was forked from this process."""
        os.environ.clear()
        os.environ.update(self.environment)
        time.tzset()
        configure(os.environ.get("GREENROOM_LOG_LEVEL", "INFO"), "up")
        if not has_priority:
            log.info(
                "the roles get no more of the processor than sessions do", reason="a higher priority requires root"
            )
        if self.events is not None:
            self._run_in_background(server, EventProgress(os.fdopen(self.events, "w")))
        sys.modules.pop("rich", None)  # allow rich, which is blocked for roles: a terminal needs it
        try:
            ended_by = self._run(server, stderr_progress(), self._show_ready)
        except (GreenroomError, OSError) as error:
            program.exit_with_error(error)
        if ended_by == signal.SIGINT:
            program.exit_interrupted()

    def _show_ready(self, description: InstanceDescription) -> None:
        if not self.adopts:
            show_ready(description, as_json=self.as_json)

    def _run_in_background(self, server: ForkServer, events: EventProgress) -> NoReturn:
        def ready(description: InstanceDescription) -> None:
            events.send(Ready(description))
            events.close()

        code = 1
        try:
            self._run(server, events, ready)
            code = 0
        except BaseException as error:
            events.send(Failed(shortened(summary(error))))
            if not isinstance(error, GreenroomError):
                raise
        finally:
            os._exit(code)

    def _run(
        self, server: ForkServer, progress: Progress, on_ready: Callable[[InstanceDescription], None]
    ) -> signal.Signals | None:
        site = site_of(Layout(Path(self.data)))
        if self.adopts:
            site = replace(site, programs=own_programs())
        upgrade = instance.UpgradeSupport(self.become_other_up, adopts=self.adopts)
        try:
            return asyncio.run(instance.run(site, server, progress, on_ready, upgrade))
        except Exception as error:
            if self.adopts:  # no other process reports this error
                expected = isinstance(error, GreenroomError)
                log.error("up of the new version does not work", reason=summary(error), exc_info=not expected)
            raise
