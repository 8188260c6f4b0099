"""Second factors of users who log in with the password of a directory, at a real slapd."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.database.api.client import SAME_ORIGIN, Client, MakeClient
from tests.database.api.directing import add, log_in
from tests.database.api.factors import code_of, complete, enroll_app
from tests.support.directories import PASSWORD, Slapd, slapd

from greenroom.db.access.users import ALL_USERS

pytestmark = pytest.mark.usefixtures("long_timeout")


@pytest.fixture(scope="module")
def server() -> Iterator[Slapd]:
    with slapd() as running:
        running.add_person("ada")
        running.add_person("bob")
        yield running


@pytest.fixture
async def ada(server: Slapd, admin: Client, connect: MakeClient) -> Client:
    """A user of the directory who is logged in."""
    await add(admin, server, create_users=True)
    browser = await connect()
    browser.headers.update(SAME_ORIGIN)
    assert (await log_in(browser, "ada")).status_code == 200
    return browser


async def test_a_password_of_a_directory_needs_the_second_factor(ada: Client, connect: MakeClient):
    key, _ = await enroll_app(ada)
    browser = await connect()
    browser.headers.update(SAME_ORIGIN)
    answer = await log_in(browser, "ada")
    assert (answer.status_code, answer.json()["methods"]) == (202, ["totp"])
    assert (await browser.get("/api/v1/me")).status_code == 401
    assert (await complete(browser, code=code_of(key))).status_code == 200
    assert await browser.own_id() == await ada.own_id()


async def test_a_user_of_a_directory_must_enroll_the_required_factor(ada: Client, admin: Client):
    await admin.change(f"/api/v1/groups/{ALL_USERS}", settings={"require_second_factor": True})
    assert (await log_in(ada, "ada")).status_code == 200
    assert "second-factor-required" in await ada.refused(403, "GET /api/v1/me/images")
    await enroll_app(ada)
    assert (await ada.get("/api/v1/me/images")).status_code == 200


async def test_the_password_of_a_directory_sets_no_local_password(ada: Client):
    change = {"password": PASSWORD, "new_password": "another ordinary one"}
    assert "wrong" in await ada.refused(403, "POST /api/v1/me/password", change)
