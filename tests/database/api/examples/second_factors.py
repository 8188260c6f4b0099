"""Second factors of bob, who logs in with them elsewhere."""

from __future__ import annotations

from typing import Final

from tests.database.api.client import USER, USERS_PASSWORD
from tests.database.api.examples.step import Scene, Step, Wrong, step
from tests.database.api.factors import BY_NAME, FACTORS, code_of
from tests.support.authenticator import Authenticator

HOST: Final = {"Host": BY_NAME}


async def app_shows_a_code(scene: Scene) -> None:
    scene.ids["totp_code"] = code_of(scene.ids["totp_key"])


async def browser_creates_a_passkey(scene: Scene) -> None:
    scene.ids["credential"] = Authenticator().create(scene.ids["options"])


async def elsewhere_logs_in(scene: Scene) -> None:
    """The password of bob, elsewhere."""
    answer = await scene.clients["elsewhere"].post(
        "/api/v1/login", json={"username": USER, "password": USERS_PASSWORD}, headers=HOST
    )
    assert answer.status_code == 202, answer.text


async def app_shows_the_next_code(scene: Scene) -> None:
    scene.ids["totp_code"] = code_of(scene.ids["totp_key"], 1)


async def first_of_bob(scene: Scene) -> None:
    scene.ids["factor_id"] = (await scene.clients["bob"].read(FACTORS))["factors"][0]["factor_id"]


async def of_bob(scene: Scene) -> None:
    scene.ids["user_id"] = scene.ids["bob_id"]


SECOND_FACTORS: Final[list[Step]] = [
    step("confirm_password", {"password": USERS_PASSWORD}, by="bob", wrong=Wrong(body={"password": "guess"})),
    step("begin_totp", by="bob", saves="totp_key", headers=HOST),
    step(
        "create_totp",
        {"name": "Phone", "code": "{totp_code}"},
        by="bob",
        before=app_shows_a_code,
        wrong=Wrong(body={"code": "000000"}),
    ),
    step("begin_passkey", by="bob", saves="options", headers=HOST),
    step(
        "create_passkey",
        {"name": "Blue key", "credential": "{credential}"},
        by="bob",
        before=browser_creates_a_passkey,
        headers=HOST,
    ),
    step("list_own_factors", by="bob"),
    step("create_recovery_codes", by="bob"),
    step("begin_passkey_login", by="elsewhere", before=elsewhere_logs_in, headers=HOST),
    step(
        "complete_login",
        {"code": "{totp_code}"},
        by="elsewhere",
        before=app_shows_the_next_code,
        wrong=Wrong(body={"code": "000000"}),
    ),
    step("list_user_factors", before=of_bob),
    step("delete_own_factor", by="bob", before=first_of_bob),
]
AFTERWARDS: Final[list[Step]] = [step("reset_user_factors", before=of_bob)]
