"""A poisoned item among healthy ones in the loops of the api: the healthy ones are served, for each type of error."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fastapi import FastAPI
from tests.database.api.client import Client
from tests.database.api.receiving import Hooks, Receiver
from tests.support import rows

from greenroom.api import installation, main
from greenroom.api.catalogue import lists
from greenroom.core.errors import StatementCanceled
from greenroom.db import webhooks
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.identity import checks, statements
from greenroom.identity.context import context_of
from greenroom.kit.concurrency import Loop
from greenroom.kit.config import ApiConfig
from greenroom.kit.secrets import Secrets
from greenroom.kit.starts import StartLog

LOOPS = {
    "logs": "rows, those without a storable form are dropped and counted",
    "audit": "events, whose texts are made storable; none is left out",
    "audit operations": "signed texts; a changed one becomes an event that says so",
    "listener": "one connection, opened again",
    "settings": "a stored value that is not allowed counts as absent",
    "refusals": "rows, as of logs",
    "housekeeping": "each clean-up is isolated",
    "catalogues": "lists, raises here",
    "control of leases": "leases, isolated one by one",
    "webhooks": "messages, raises here",
    "unattended pools": "pools, raises here",
    "sign_on": "log-ins, raises here",
    "directories": "directories and their users, isolated one by one",
}
"""Loop → its items, and the tests of their errors. A loop that is missing here fails the test."""

ERRORS: dict[str, Callable[[], Exception]] = {
    "value": lambda: ValueError("half a \udce9 pair"),
    "disk": lambda: OSError(28, "No space left on device"),
    "database": lambda: psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"),
    "given up": lambda: StatementCanceled("It took too long."),
    "group": lambda: ExceptionGroup("of a task group", [KeyError("name"), ValueError("bad row")]),
}


class Poison:
    """Let a function raise an error in its first call, and count its successful calls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, error: Callable[[], Exception]) -> None:
        self.calls = 0
        self.healthy = 0
        work = getattr(owner, name)

        async def poisoned(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.calls == 1:
                raise error()
            result = await work(*args, **kwargs)
            self.healthy += 1
            return result

        monkeypatch.setattr(owner, name, poisoned)


@pytest.fixture(params=ERRORS)
def error(request: pytest.FixtureRequest) -> Callable[[], Exception]:
    return ERRORS[request.param]


@pytest.fixture
async def hooks(admin: Client, app: FastAPI) -> AsyncIterator[Hooks]:
    receiver = Receiver()
    await receiver.start()
    await admin.change("/api/v1/settings", webhook_hosts="127.0.0.1")
    yield Hooks(admin, app, receiver)
    await receiver.stop()


async def test_a_message_whose_attempt_cannot_be_noted_cuts_no_other(
    hooks: Hooks, db: Database, monkeypatch: pytest.MonkeyPatch, error: Callable[[], Exception]
):
    made = await hooks.made("launch.done")
    poison = Poison(monkeypatch, webhooks, "record_attempt", error)
    for _ in range(3):
        await db.fetch("SELECT send_webhooks('launch.done', '{}')")
    await hooks.delivered()
    assert poison.healthy == 2
    assert sorted(one["state"] for one in await hooks.deliveries(made)) == ["delivered", "delivered", "waiting"]


async def test_a_catalog_whose_state_cannot_be_stored_keeps_no_other_waiting(
    app: FastAPI, db: Database, monkeypatch: pytest.MonkeyPatch, error: Callable[[], Exception]
):
    for name in ("one", "two"):
        await db.write("INSERT INTO catalogues (name, list_url) VALUES (%s, 'http://127.0.0.1:1/' || %s)", (name, name))
    poison = Poison(monkeypatch, lists.catalogue_rows, "store_failure", error)
    await lists.refresh_due_lists(db, app.state.snapshot)
    assert (poison.calls, poison.healthy) == (2, 1)


async def test_a_pool_that_cannot_be_noted_keeps_no_other_waiting(
    db: Database, monkeypatch: pytest.MonkeyPatch, error: Callable[[], Exception]
):
    for name in ("eu", "us"):
        image_id = await rows.image(db, friendly_name=name)
        await rows.staging_config(db, await rows.zone(db, name), image_id)
    poison = Poison(monkeypatch, installation, "record_shortfall", error)
    await installation.record_unattended_pools(db, LogWriter(db, "api"))
    assert (poison.calls, poison.healthy) == (2, 1)


async def test_a_log_in_that_cannot_be_checked_keeps_no_other_waiting(
    app: FastAPI, db: Database, monkeypatch: pytest.MonkeyPatch, error: Callable[[], Exception]
):
    (provider,) = await db.write(
        "INSERT INTO sign_on_providers (name, title, issuer, client_id, client_auth, scopes, enabled, create_users,"
        " rule_required, attributes, rules, check_s, check_grace_s) VALUES ('campus', 'Campus', 'https://127.0.0.1:1',"
        " 'greenroom', 'client_secret_basic', 'openid', true, false, false, '{}', '[]', 0, 60) RETURNING provider_id"
    )
    for name in ("one", "two"):
        await db.write(
            "WITH login AS (INSERT INTO login_sessions (token_hash, user_id, expires, user_agent)"
            " VALUES (%s, %s, now() + interval '1 hour', '') RETURNING login_id)"
            " INSERT INTO provider_logins (login_id, provider_id, subject, id_token_encrypted, due)"
            " SELECT login_id, %s, %s, ''::bytea, now() FROM login",
            (name.encode(), await rows.user(db, name), provider["provider_id"], name),
        )
    poison = Poison(monkeypatch, statements, "record_check", error)
    await checks.check_due_logins(context_of(app.state))
    assert (poison.calls, poison.healthy) == (2, 1)


async def test_each_loop_of_the_api_is_listed(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    found = set[str]()

    async def serve(_app: Any, _host: str, _port: int, loops: Sequence[tuple[str, Loop]], **_: Any) -> None:
        found.update(name for name, _ in loops)

    monkeypatch.setattr(main, "serve", serve)
    Secrets.create_file(tmp_path / "key")
    await main._run(ApiConfig(database_url=dsn, secret_key_file=tmp_path / "key"), StartLog(None))
    assert found == LOOPS.keys()
