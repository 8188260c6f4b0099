"""Users log in through a provider at the same moment as others, or while it is changed, disabled or deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, LiteralString

import pytest
from fastapi import FastAPI
from joserfc import jwt
from tests.database.api.client import Client, MakeClient
from tests.database.api.signing_on import PROVIDERS, begin, forged, forged_answer, offer, rows_of_users
from tests.database.locks import ended, waiting
from tests.support.oidc import SECRET, Forger, forging_provider

from greenroom.db.database import Database
from greenroom.identity import checks, provider_routes, statements
from greenroom.identity.context import context_of

pytestmark = pytest.mark.usefixtures("long_timeout")


@pytest.fixture
def db_limits() -> dict[str, Any]:
    """The limits of a transaction that waits for two log-ins through a provider, longer on a busy machine."""
    return {"statement_timeout_ms": 30_000}


@pytest.fixture
def other() -> Iterator[Forger]:
    """Another provider, at another issuer."""
    with forging_provider() as running:
        yield running


@dataclass(frozen=True, slots=True)
class Campus:
    """A provider that creates users. `path` is its address in the api."""

    admin: Client
    db: Database
    app: FastAPI
    path: str

    async def change(self, **fields: Any) -> dict[str, Any]:
        return await self.admin.change(self.path, **fields)

    async def disable(self) -> None:
        await self.change(enabled=False)

    async def delete(self) -> None:
        assert (await self.admin.delete(self.path)).status_code == 204

    async def messages(self, code: str) -> list[str]:
        """The messages of the log rows with this code."""
        await self.app.state.logs.flush()
        rows = await self.db.fetch("SELECT message FROM logs WHERE code = %s ORDER BY log_id", (code,))
        return [row["message"] for row in rows]


@pytest.fixture
async def campus(forger: Forger, admin: Client, db: Database, app: FastAPI) -> Campus:
    made = await offer(admin, forger.issuer, create_users=True)
    return Campus(admin, db, app, f"{PROVIDERS}/{made['provider_id']}")


def during_token_request(forger: Forger, act: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Call `act` while the next token request waits for its answer."""
    loop = asyncio.get_running_loop()

    def sign(claims: dict[str, Any]) -> str:
        asyncio.run_coroutine_threadsafe(act(), loop).result(60)
        return jwt.encode({"alg": "RS256", "kid": forger.key.kid}, claims, forger.key)

    forger.sign = sign


async def is_logged_in(browser: Client) -> bool:
    return (await browser.get("/api/v1/me")).status_code == 200


@pytest.mark.parametrize("end", [Campus.disable, Campus.delete])
async def test_a_provider_that_ends_during_a_log_in_refuses_it(
    forger: Forger, campus: Campus, anonymous: Client, end: Callable[[Campus], Coroutine[Any, Any, None]]
):
    before = await rows_of_users(campus.db)
    during_token_request(forger, lambda: end(campus))
    assert await forged(forger, anonymous) == "/?sign-on=provider-disabled"
    assert await rows_of_users(campus.db) == before


async def test_a_provider_that_is_disabled_during_a_link_links_no_identity(
    forger: Forger, campus: Campus, logged_in: MakeClient
):
    browser = await logged_in()
    url = (await browser.post("/api/v1/me/identities", json={"provider": "campus"})).json()["url"]
    during_token_request(forger, campus.disable)
    assert await forged_answer(forger, browser, url) == "/account?sign-on=provider-disabled"
    assert not await campus.db.fetch("SELECT 1 FROM identities")


async def test_a_log_in_that_commits_while_its_provider_is_disabled_ends(
    forger: Forger, campus: Campus, anonymous: Client, db: Database
):
    """The log-in holds the provider and waits for the user; the change waits for the provider."""
    await forged(forger, anonymous)
    async with db.transaction() as holder:
        await holder.execute("SELECT 1 FROM users FOR UPDATE")
        logging_in = asyncio.create_task(forged(forger, anonymous))
        await waiting(db, 1)
        disabling = asyncio.create_task(campus.disable())
        await waiting(db, 2)
    assert (await ended(logging_in, disabling))[0] == "/"
    assert not await is_logged_in(anonymous)


async def test_a_provider_that_is_changed_while_it_is_deleted_remains_disabled(
    campus: Campus, monkeypatch: pytest.MonkeyPatch
):
    async def change_title(*_: object) -> None:
        await campus.db.write("UPDATE sign_on_providers SET title = 'Renamed'")

    monkeypatch.setattr(provider_routes, "end_logins", change_title)
    assert "was changed at the same time" in await campus.admin.refused(409, f"DELETE {campus.path}")
    assert (await campus.admin.read(campus.path))["enabled"] is False
    (message,) = await campus.messages("sign-on-provider-changed")
    assert message.endswith("changed sign-on provider Campus: enabled true → false")


@pytest.mark.parametrize("field", ["issuer", "client_id"])
async def test_another_issuer_or_client_ends_the_log_ins_of_a_provider(
    forger: Forger, other: Forger, campus: Campus, anonymous: Client, field: str
):
    await forged(forger, anonymous)
    changes = {"issuer": other.issuer} if field == "issuer" else {"client_id": "other"}
    changed = await campus.change(client_secret=SECRET, **changes)
    assert changed == changed | changes | {"enabled": True}
    assert not await is_logged_in(anonymous)
    assert not await campus.db.fetch("SELECT 1 FROM provider_logins")
    (message,) = await campus.messages("sign-on-ended")
    assert message == "The log-in of ada ended: Campus was given another issuer or client ID."


async def test_the_log_ins_end_before_the_new_issuer_is_stored(
    forger: Forger, campus: Campus, anonymous: Client, monkeypatch: pytest.MonkeyPatch
):
    await forged(forger, anonymous)
    issuers: list[str] = []
    end_logins = checks.end_logins

    async def with_issuer(*values: Any) -> None:
        issuers.extend(await statements.list_issuers(campus.db))
        await end_logins(*values)

    monkeypatch.setattr(provider_routes, "end_logins", with_issuer)
    await campus.change(client_secret=SECRET, issuer="https://other.example")
    assert issuers == [forger.issuer]


async def test_a_new_title_ends_no_log_in(forger: Forger, campus: Campus, anonymous: Client):
    await forged(forger, anonymous)
    await campus.change(title="Renamed", issuer=forger.issuer)
    assert await is_logged_in(anonymous)


async def change_after(
    campus: Campus, monkeypatch: pytest.MonkeyPatch, act: Callable[[], Coroutine[Any, Any, Any]]
) -> None:
    """Check all log-ins, and call `act` after the check has taken them."""
    await campus.db.write("UPDATE provider_logins SET due = now(), checked = now() - interval '1 minute'")
    take = statements.take_due_logins

    async def then_act(db: Database, limit: int) -> list[statements.DueLogin]:
        taken = await take(db, limit)
        await act()
        return taken

    monkeypatch.setattr(statements, "take_due_logins", then_act)
    assert await checks.check_due_logins(context_of(campus.app.state)) == 1


async def test_a_refresh_token_is_not_sent_to_another_issuer(
    forger: Forger, other: Forger, campus: Campus, anonymous: Client, monkeypatch: pytest.MonkeyPatch
):
    await campus.change(check_s=60)
    await forged(forger, anonymous)
    await change_after(campus, monkeypatch, lambda: campus.change(client_secret=SECRET, issuer=other.issuer))
    assert other.token_requests == []


async def test_the_check_of_a_deleted_provider_is_no_error(
    forger: Forger, campus: Campus, anonymous: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    await campus.change(check_s=60)
    await forged(forger, anonymous)
    await change_after(campus, monkeypatch, campus.delete)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE sign_on_providers SET issuer = 'https://other.example'",
        "UPDATE sign_on_providers SET client_id = 'other'",
        "UPDATE provider_logins SET refresh_token_encrypted = 'of another check'::bytea",
    ],
)
async def test_an_outdated_check_stores_nothing(
    forger: Forger, campus: Campus, anonymous: Client, change: LiteralString
):
    async def change_in_database() -> None:
        await campus.db.write(change)

    await campus.change(check_s=60)
    await forged(forger, anonymous)
    await campus.db.write("UPDATE provider_logins SET due = now(), checked = now() - interval '1 minute'")
    during_token_request(forger, change_in_database)
    assert await checks.check_due_logins(context_of(campus.app.state)) == 1
    assert len(forger.token_requests) == 2
    (row,) = await campus.db.fetch(
        "SELECT checked < now() - interval '50 s' AS unchecked, refresh_token_encrypted FROM provider_logins"
    )
    assert row["unchecked"]
    assert (bytes(row["refresh_token_encrypted"]) == b"of another check") == ("another check" in change)


async def test_two_first_log_ins_of_a_person_at_the_same_moment(
    forger: Forger, campus: Campus, connect: MakeClient, db: Database
):
    browsers = [await connect(), await connect()]
    logging_in: list[asyncio.Task[str]] = []
    async with db.transaction() as holder:
        await holder.execute("LOCK TABLE users IN SHARE MODE")  # both have found no user when they insert one
        for number, browser in enumerate(browsers, start=1):
            logging_in.append(asyncio.create_task(forged(forger, browser)))
            await waiting(db, number)
    assert await ended(*logging_in) == ["/", "/"]
    assert len({await browser.own_id() for browser in browsers}) == 1
    assert len(await campus.messages("user-created")) == 1


async def test_a_code_of_another_issuer_is_not_sent_to_the_new_one(
    forger: Forger, other: Forger, campus: Campus, anonymous: Client
):
    url = await begin(anonymous)
    await campus.change(client_secret=SECRET, issuer=other.issuer)
    assert await forged_answer(forger, anonymous, url) == "/?sign-on=unknown-attempt"
    assert other.token_requests == []


async def test_an_unlinked_identity_ends_its_log_ins(forger: Forger, campus: Campus, anonymous: Client):
    await forged(forger, anonymous)
    user_id = await anonymous.own_id()
    (identity,) = await campus.admin.read(f"/api/v1/users/{user_id}/identities")
    await campus.admin.delete(f"/api/v1/users/{user_id}/identities/{identity['identity_id']}")
    assert not await is_logged_in(anonymous)


async def test_groups_that_rules_change_are_in_the_audit_log(forger: Forger, campus: Campus, anonymous: Client):
    group = await campus.admin.make("/api/v1/groups", name="Staff")
    await campus.change(rules=[{"claim": "sub", "value": "*", "group_id": group["group_id"]}])
    await forged(forger, anonymous)
    (message,) = await campus.messages("user-changed")
    assert message.endswith("All Users → All Users, Staff")
