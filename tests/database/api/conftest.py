"""The api on a real PostgreSQL, without a socket: first data, a client per caller."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from tests.database.api.staging import Stage

from greenroom.api.app import create_app
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.db.installation import ensure_first_data
from greenroom.kit.config import ApiConfig
from greenroom.kit.passwords import hash_password
from greenroom.kit.secrets import Secrets, hashed
from greenroom.testing import rows

ADMIN = "admin@greenroom.local"
PASSWORD = "one-time secret"
KEY = ("abcdefghijkl", "the secret half")
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}

PASSWORD_HASH = hash_password(PASSWORD)

Client = httpx.AsyncClient
MakeKey = Callable[..., Awaitable[Client]]
MakeUser = Callable[..., Awaitable[Client]]


@pytest.fixture
async def app(db: Database, dsn: str) -> FastAPI:
    """The application of an installation with first data and a zone `default`."""
    await db.write("INSERT INTO zones (zone_name) VALUES ('default')")
    await ensure_first_data(
        db,
        image="greenroom/desktop:xfce",
        admin_password_hash=PASSWORD_HASH,
        key_id=KEY[0],
        key_secret_hash=hashed(KEY[1]),
    )
    config = ApiConfig(database_url=dsn, secret_key_file=Path("unused"))
    return create_app(config, db, Secrets(bytes(32)), LogWriter(db, "api"))


@pytest.fixture
async def connect(app: FastAPI) -> AsyncIterator[Callable[..., Awaitable[Client]]]:
    """Makes clients; the address given is the one the api sees."""
    async with AsyncExitStack() as stack:

        async def make(auth: tuple[str, str] | None = None, address: str = "192.0.2.1") -> Client:
            transport = httpx.ASGITransport(app, client=(address, 50000), raise_app_exceptions=False)
            client = httpx.AsyncClient(
                transport=transport,
                base_url="https://127.0.0.1:8443",
                auth=httpx.BasicAuth(*auth) if auth else None,
            )
            return await stack.enter_async_context(client)

        yield make


@pytest.fixture
async def anonymous(connect: MakeKey) -> Client:
    """Without a credential."""
    return await connect()


@pytest.fixture
async def admin(connect: MakeKey) -> Client:
    """With the installation's first key: every permission."""
    return await connect(KEY)


@pytest.fixture
def with_key(connect: MakeKey, admin: Client) -> MakeKey:
    """Makes a client with a new key that has the permissions given."""

    async def make(*permissions: str, **fields: object) -> Client:
        body = {"name": "test", "permissions": list(permissions), **fields}
        created = (await admin.post("/api/v1/api-keys", json=body)).json()
        return await connect((created["api_key"], created["api_key_secret"]))

    return make


@pytest.fixture
def logged_in(connect: MakeKey) -> MakeUser:
    """Makes a browser in which a user is logged in."""

    async def make(username: str = ADMIN, password: str = PASSWORD) -> Client:
        client = await connect()
        client.headers.update(SAME_ORIGIN)
        answer = await client.post("/api/v1/login", json={"username": username, "password": password})
        assert answer.status_code == 200, answer.text
        return client

    return make


@pytest.fixture
async def user(admin: Client, logged_in: MakeUser) -> Client:
    """A browser in which an ordinary user, `user@greenroom.local`, is logged in."""
    body = {"username": "user@greenroom.local", "password": "quite ordinary"}
    assert (await admin.post("/api/v1/users", json=body)).status_code == 201
    return await logged_in("user@greenroom.local", "quite ordinary")


@pytest.fixture
def with_user(admin: Client, logged_in: MakeUser) -> MakeUser:
    """Creates an ordinary user and a browser in which they are logged in."""

    async def make(username: str) -> Client:
        body = {"username": username, "password": "quite ordinary"}
        assert (await admin.post("/api/v1/users", json=body)).status_code == 201
        return await logged_in(username, "quite ordinary")

    return make


@pytest.fixture
async def stage(app: FastAPI, db: Database, admin: Client) -> Stage:
    """What staging configs need: a zone with fixed addresses, a workspace, an Agent."""
    await db.write("UPDATE zones SET allow_origin_domain = '127.0.0.1', upstream_auth_address = '127.0.0.1:8443'")
    zone_id = (await db.fetch("SELECT zone_id::text FROM zones"))[0]["zone_id"]
    image = (await db.fetch("SELECT image_id::text, name FROM images"))[0]
    agent_id = await rows.agent(db, zone_id, hostname="agent-1", image=image["name"])
    return Stage(db, admin, app.state.logs, zone_id, image["image_id"], image["name"], agent_id)
