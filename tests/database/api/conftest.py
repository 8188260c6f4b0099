"""The api on a real PostgreSQL, without a socket: first data, and a client for each caller."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from types import SimpleNamespace

import httpx2
import pytest
from fastapi import FastAPI
from tests.database.api.client import (
    ADA,
    ADMIN,
    KEY,
    PASSWORD,
    PASSWORD_HASH,
    SAME_ORIGIN,
    USER,
    USERS_PASSWORD,
    Client,
    MakeClient,
)
from tests.database.api.receiving import Hooks, Receiver
from tests.database.api.sharing import ALLOWED, Shared
from tests.database.api.staging import Session, Stage
from tests.support import rows
from tests.support.oidc import Forger, forging_provider

from greenroom.api.app import create_app
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.kit.config import ApiConfig
from greenroom.kit.secrets import Secrets, secret_digest
from greenroom.up.installation import ensure_first_data


@pytest.fixture
def forger(long_timeout: None) -> Iterator[Forger]:
    """A provider of sign-on whose tokens a test forges."""
    with forging_provider() as running:
        yield running


@pytest.fixture
async def app(db: Database, dsn: str) -> FastAPI:
    """The application of an installation with first data and a zone `default`."""
    await db.write("INSERT INTO zones (zone_name) VALUES ('default')")
    await ensure_first_data(
        db,
        image="greenroom/desktop:xfce",
        admin_password_hash=PASSWORD_HASH,
        key_id=KEY[0],
        key_secret_hash=secret_digest(KEY[1]),
    )
    config = ApiConfig(database_url=dsn, secret_key_file=Path("unused"))
    return create_app(config, db, Secrets(bytes(32)), LogWriter(db, "api"))


@pytest.fixture
async def connect(app: FastAPI) -> AsyncIterator[MakeClient]:
    """Create clients; the passed address is the one that the api sees."""
    async with AsyncExitStack() as stack:

        async def make(auth: tuple[str, str] | None = None, address: str = "192.0.2.1") -> Client:
            transport = httpx2.ASGITransport(app, client=(address, 50000), raise_app_exceptions=False)
            basic = httpx2.BasicAuth(*auth) if auth else None
            client = Client(transport=transport, base_url="https://127.0.0.1:8443", auth=basic)
            return await stack.enter_async_context(client)

        yield make


@pytest.fixture
async def anonymous(connect: MakeClient) -> Client:
    """A client without a credential."""
    return await connect()


@pytest.fixture
async def admin(connect: MakeClient) -> Client:
    """A client with the installation's first key: every permission."""
    return await connect(KEY)


@pytest.fixture
def with_key(connect: MakeClient, admin: Client) -> MakeClient:
    """Create a client with a new key that has the passed permissions."""

    async def make(*permissions: str, **fields: object) -> Client:
        created = await admin.make("/api/v1/api-keys", name="test", permissions=list(permissions), **fields)
        return await connect((created["api_key"], created["api_key_secret"]))

    return make


@pytest.fixture
def with_key_of(with_key: MakeClient) -> MakeClient:
    """Create a client with a new key of the user who is logged in with a client."""

    async def make(owner: Client, *permissions: str, **fields: object) -> Client:
        return await with_key(*permissions, user_id=await owner.own_id(), **fields)

    return make


@pytest.fixture
def logged_in(connect: MakeClient) -> MakeClient:
    """Create a browser in which a user is logged in."""

    async def make(username: str = ADMIN, password: str = PASSWORD) -> Client:
        client = await connect()
        client.headers.update(SAME_ORIGIN)
        answer = await client.post("/api/v1/login", json={"username": username, "password": password})
        assert answer.status_code == 200, answer.text
        return client

    return make


@pytest.fixture
def with_user(admin: Client, logged_in: MakeClient) -> MakeClient:
    """Create an ordinary user and a browser in which the user is logged in."""

    async def make(username: str) -> Client:
        await admin.make("/api/v1/users", username=username, password=USERS_PASSWORD)
        return await logged_in(username, USERS_PASSWORD)

    return make


@pytest.fixture
async def user(with_user: MakeClient) -> Client:
    """A browser in which an ordinary user, `user@greenroom.local`, is logged in."""
    return await with_user(USER)


@pytest.fixture
async def ada(with_user: MakeClient) -> Client:
    """A browser of another ordinary user."""
    return await with_user(ADA)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver of webhooks on this host."""
    made = Receiver()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def hooks(admin: Client, app: FastAPI, receiver: Receiver) -> Hooks:
    """Webhooks of an installation that allows this host."""
    await admin.change("/api/v1/settings", webhook_hosts="127.0.0.1")
    return Hooks(admin, app, receiver)


@pytest.fixture
async def agent(app: FastAPI, db: Database) -> str:
    """A running Agent with free capacity and the image."""
    del app
    (row,) = await db.fetch("SELECT z.zone_id::text, i.name FROM zones z, images i")
    return await rows.agent(db, row["zone_id"], hostname="agent-1", image=row["name"])


@pytest.fixture
async def stage(app: FastAPI, db: Database, admin: Client, agent: str) -> Stage:
    """A zone with fixed addresses, a workspace, an Agent."""
    await db.write("UPDATE zones SET allow_origin_domain = '127.0.0.1', upstream_auth_address = '127.0.0.1:8443'")
    (row,) = await db.fetch("SELECT z.zone_id::text, image_id::text, i.name FROM zones z, images i")
    return Stage(db, app, admin, row["zone_id"], row["image_id"], row["name"], agent)


@pytest.fixture
async def session(stage: Stage, ada: Client) -> Session:
    return Session(stage, ada, await ada.own_id(), await stage.launched(ada))


@pytest.fixture
async def shared(session: Session, anonymous: Client) -> Shared:
    """A session that ada may share with all users."""
    await session.stage.everybody(**ALLOWED)
    await session.stage.admin.change("/api/v1/settings", share_outside_groups=True)
    await session.db.write("UPDATE agents SET credential_hash = %s", (secret_digest("credential"),))
    await session.db.write("INSERT INTO session_steps (session_id, name) VALUES (%s, 'painted')", (session.session_id,))
    return Shared(session.stage, session.ada, session.ada_id, session.session_id, anonymous)


@pytest.fixture
def long_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sign-on waits long for providers, because this machine may have other work."""
    monkeypatch.setattr("greenroom.identity.provider.TIMEOUT_S", 60.0)
    monkeypatch.setattr("greenroom.identity.diagnosis.TIMEOUT_S", 60.0)
    monkeypatch.setattr("greenroom.identity.directory.login.TIMEOUT_S", 60.0)


@pytest.fixture
def frozen_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits of addresses permit no more attempts with time, because this machine may be slow."""
    clock = SimpleNamespace(time=time.time, monotonic=lambda: 0.0)
    monkeypatch.setattr("greenroom.api.access.failed_attempts.time", clock)
