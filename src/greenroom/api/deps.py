"""The parts that `create_app` stored in `app.state`, as annotated types for routes.

These dependencies are coroutine functions although they never wait. FastAPI runs any other callable in a thread, and
under load each thread call costs a request more than its statements do.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from greenroom.api.access.guesses import Guesses
from greenroom.api.desk.transport import Desks
from greenroom.api.events import Hub
from greenroom.api.installation import Snapshot
from greenroom.api.launch.service import Launcher
from greenroom.api.session.orders import Screenshots
from greenroom.api.webhooks.courier import Courier
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.launch.forecast import WorkspaceSupply
from greenroom.kit.concurrency import Coalesced
from greenroom.kit.config import ApiConfig
from greenroom.kit.passwords import Passwords
from greenroom.kit.secrets import Secrets


async def _db(request: Request) -> Database:
    return request.app.state.db


async def _logs(request: Request) -> LogWriter:
    return request.app.state.logs


async def _secrets(request: Request) -> Secrets:
    return request.app.state.secrets


async def _config(request: Request) -> ApiConfig:
    return request.app.state.config


async def _passwords(request: Request) -> Passwords:
    return request.app.state.passwords


async def _guesses(request: Request) -> Guesses:
    return request.app.state.guesses


async def _hub(request: Request) -> Hub:
    return request.app.state.hub


async def _launcher(request: Request) -> Launcher:
    return request.app.state.launcher


async def _screenshots(request: Request) -> Screenshots:
    return request.app.state.screenshots


async def _desks(request: Request) -> Desks:
    return request.app.state.desks


async def _courier(request: Request) -> Courier:
    return request.app.state.courier


async def _snapshot(request: Request) -> Snapshot:
    return request.app.state.snapshot


async def _offers(request: Request) -> Coalesced[WorkspaceSupply]:
    return request.app.state.offers


Db = Annotated[Database, Depends(_db)]
Logs = Annotated[LogWriter, Depends(_logs)]
SecretsDep = Annotated[Secrets, Depends(_secrets)]
Config = Annotated[ApiConfig, Depends(_config)]
PasswordHashes = Annotated[Passwords, Depends(_passwords)]
WrongGuesses = Annotated[Guesses, Depends(_guesses)]
LauncherDep = Annotated[Launcher, Depends(_launcher)]
ScreenshotsDep = Annotated[Screenshots, Depends(_screenshots)]
DesksDep = Annotated[Desks, Depends(_desks)]
EventHub = Annotated[Hub, Depends(_hub)]
Deliveries = Annotated[Courier, Depends(_courier)]
SettingsSnapshot = Annotated[Snapshot, Depends(_snapshot)]
Offers = Annotated[Coalesced[WorkspaceSupply], Depends(_offers)]
