"""The parts that `create_app` stored in `app.state`, as annotated types for routes.

The dependencies are coroutine functions although they never wait. FastAPI runs any other callable in a thread, which
takes more time under load than the SQL statements of a request.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Request

from greenroom.api.access.failed_attempts import FailedAttempts
from greenroom.api.desk.transport import Desks
from greenroom.api.diagnostics.audit import CallerChange
from greenroom.api.events import EventHub
from greenroom.api.installation import SettingsSnapshot
from greenroom.api.launch.service import Launcher
from greenroom.api.recording.recorder import Recorder
from greenroom.api.session.instructions import Screenshots
from greenroom.api.webhooks.delivery import DeliveryWorker
from greenroom.core.diagnostics.watched import Watched
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.launch.ledger import WorkspaceSupply
from greenroom.kit.concurrency import CoalescedRead
from greenroom.kit.config import ApiConfig
from greenroom.kit.passwords import Passwords
from greenroom.kit.secrets import Secrets


def _part(name: str) -> Any:
    """Return the dependency whose value is this part of `app.state`."""

    async def part(request: Request) -> object:
        return getattr(request.app.state, name)

    return Depends(part)


async def _change(request: Request) -> CallerChange:
    return CallerChange.of(request)


Db = Annotated[Database, _part("db")]
Logs = Annotated[LogWriter, _part("logs")]
SecretsDep = Annotated[Secrets, _part("secrets")]
Config = Annotated[ApiConfig, _part("config")]
PasswordsDep = Annotated[Passwords, _part("passwords")]
FailedAttemptsDep = Annotated[FailedAttempts, _part("failed_attempts")]
LauncherDep = Annotated[Launcher, _part("launcher")]
ScreenshotsDep = Annotated[Screenshots, _part("screenshots")]
DesksDep = Annotated[Desks, _part("desks")]
RecorderDep = Annotated[Recorder, _part("recorder")]
HubDep = Annotated[EventHub, _part("hub")]
DeliveryWorkerDep = Annotated[DeliveryWorker, _part("delivery_worker")]
SnapshotDep = Annotated[SettingsSnapshot, _part("snapshot")]
FleetReads = Annotated[CoalescedRead[Watched], _part("fleet_reads")]
WatchedReads = Annotated[CoalescedRead[Watched], _part("watched_reads")]
SupplyReads = Annotated[CoalescedRead[WorkspaceSupply], _part("supply_reads")]
ChangeDep = Annotated[CallerChange, Depends(_change)]
"""A change on behalf of the caller. The route declares the needed permissions in its `dependencies`, which are checked
first."""
