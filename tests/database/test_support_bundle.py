"""The support archive has the counts, migrations and log rows of the database, and no secret of its rows."""

from __future__ import annotations

import asyncio
import json
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import pytest
from psycopg.types.json import Jsonb
from tests.support import rows

from greenroom.core.errors import SetupError
from greenroom.db.database import Database
from greenroom.db.migrate import migrations
from greenroom.kit.secrets import Secrets
from greenroom.up import support_bundle
from greenroom.up.layout import Layout

NAMED, TOKEN, VARIABLE, OPTION, ECHO = (f"{name} 0secret" for name in ("named", "token", "variable", "option", "echo"))
"""Secrets without a form that can be recognized."""


async def populate(dsn: str, secrets: Secrets) -> None:
    db = Database(dsn, application_name="greenroom test", max_size=2)
    await db.open()
    try:
        await add_rows(db, secrets)
    finally:
        await db.close()


async def add_rows(db: Database, secrets: Secrets) -> None:
    image = await rows.image(db)
    environment = Jsonb({"environment": {"VARIABLE": secrets.seal(VARIABLE)}})
    await db.write(
        "UPDATE images SET docker_token_encrypted = %s, run_config = %s WHERE image_id = %s",
        (secrets.encrypt(TOKEN), environment, image),
    )
    await rows.zone(db)
    await rows.group(db, name="Students", idle_disconnect=30, environment={"VARIABLE": OPTION})
    await db.write(
        "INSERT INTO secrets (name, hosts, header, template, value_encrypted)"
        " VALUES ('billing', '{example.org}', 'X-Key', '{}', %s)",
        (secrets.encrypt(NAMED),),
    )
    message = f"A program wrote {NAMED} and {TOKEN}; its options were --password '{ECHO}'."
    details = Jsonb({"after": {"password": ECHO, "seconds": 5}})
    await db.write(
        "INSERT INTO logs (level, component, code, message, details) VALUES ('INFO', 'api', 'test', %s, %s)",
        (message, details),
    )


class Canaries:
    """Texts that no archive may contain: words without digits, so that they do not look random."""

    def __init__(self) -> None:
        self.planted = list[str]()

    def new(self) -> str:
        number = len(self.planted)
        self.planted.append(f"canary{ascii_lowercase[number // 26]}{ascii_lowercase[number % 26]}bird")
        return self.planted[-1]


async def plant_rows(dsn: str, canaries: Canaries) -> None:
    """Plant names and other texts of users, texts of settings, addresses of webhooks, and rows of the log."""
    new = canaries.new
    db = Database(dsn, application_name="greenroom test", max_size=2)
    await db.open()
    try:
        for _ in range(10):
            await db.write(
                "INSERT INTO users (username, first_name, last_name, phone, organization, notes)"
                " VALUES (%s, %s, %s, %s, %s, %s)",
                (f"{new()}@example.org", new(), new(), new(), new(), f"calls {new()} on Mondays"),
            )
        await rows.group(db, name="Guests", watermark_text=new(), hostname=new(), environment={"VARIABLE": new()})
        for number in range(5):
            await db.write(
                "INSERT INTO webhooks (name, url, events, secret_encrypted) VALUES (%s, %s, '{session.ended}', '')",
                (f"chat {number}", f"https://hooks.example/services/{new()}"),
            )
        for code, details in (
            ("login-failed", {"who": new()}),
            ("user-changed", {"who": "admin", "before": {"notes": new()}, "after": {"notes": new(), "phone": new()}}),
            ("workspace-changed", {"who": "admin", "after": {"description": new()}}),
            ("session-command", {"command": ["echo", new()]}),
            ("agent-spec", {"spec": {"labels": {"owner": new()}}}),
        ):
            message = f"A log-in as {new()} failed." if code == "login-failed" else "It happened."
            await db.write(
                "INSERT INTO logs (level, component, code, message, username, details)"
                " VALUES ('INFO', 'api', %s, %s, %s, %s)",
                (code, message, new(), Jsonb(details)),
            )
    finally:
        await db.close()


def lines_of_log(canaries: Canaries, of_users: list[str]) -> list[str]:
    """Lines of a log with texts of users, and with credentials in sentences, addresses and headers."""
    new = canaries.new
    return [
        *(
            json.dumps({"event": f"the session of {user} ended", "username": user, "level": "info"})
            for user in of_users
        ),
        json.dumps({"event": f"A log-in as {new()} failed.", "code": "login-failed", "username": new()}),
        json.dumps({"event": f"{new()} changed ann.", "code": "user-changed", "details": {"who": new()}}),
        json.dumps({"event": "request failed", "title": new(), "path": f"/callback?code={new()}&state={new()}"}),
        f"GET https://desk.example/api/v1/sign-on/callback?code={new()}&state={new()} 302",
        f"Authorization: Bearer {new()}",
        f"Cookie: session={new()}; theme={new()}",
        f"docker login -u robot -p {new()} registry.example",
        f"Passwort: {new()}",
        f"recovery code: {new()}",
        f"the address postgresql://owner:{new()}@db/greenroom does not answer",
        f"x-api-key: {new()}",
        f"curl -u robot:{new()} https://desk.example/",
        f"client_secret={new()}",
    ]


async def users_of(dsn: str) -> list[str]:
    db = Database(dsn, application_name="greenroom test", max_size=1)
    await db.open()
    try:
        return [row["username"] for row in await db.fetch("SELECT username FROM users WHERE username LIKE 'canary%'")]
    finally:
        await db.close()


@pytest.fixture
def canaries(dsn: str, tmp_path: Path) -> Canaries:
    """Texts in the rows of the database, and in a log of the instance."""
    canaries = Canaries()
    asyncio.run(plant_rows(dsn, canaries))
    layout = Layout(tmp_path / "data")
    layout.logs.mkdir(parents=True)
    layout.log("api").write_text("\n".join(lines_of_log(canaries, asyncio.run(users_of(dsn)))))
    return canaries


@pytest.fixture
def texts(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """File → text of an archive of this database, without the facts about the host."""

    def no_program(name: str, *_: str, within_s: float) -> str:
        raise SetupError(f"{name} is not installed ({within_s:g} s).")

    monkeypatch.setattr(support_bundle, "command_output", no_program)
    key_file = tmp_path / "installation.key"
    Secrets.create_file(key_file)
    asyncio.run(populate(dsn, Secrets.from_file(key_file)))
    environment = {"GREENROOM_DATABASE_URL": dsn, "GREENROOM_SECRET_KEY_FILE": str(key_file)}
    file = tmp_path / "archive.tar.gz"
    archive = support_bundle.create_archive(Layout(tmp_path / "data"), file, environment, datetime.now(UTC))
    assert "database/" not in archive.missing
    found = dict[str, str]()
    with tarfile.open(file) as tar:
        for member in tar:
            opened = tar.extractfile(member)
            assert opened is not None
            found[member.name.partition("/")[2]] = opened.read().decode()
    return found


def test_none_of_100_planted_texts_of_people_is_in_the_archive(canaries: Canaries, texts: dict[str, str]):
    assert len(canaries.planted) >= 100
    found = [(name, canary) for name, text in texts.items() for canary in canaries.planted if canary in text]
    assert found == []
    assert '"event": "the session of (secret) ended"' in texts["logs/api.log"]
    rows_of_log = json.loads(texts["database/log.json"])
    (refused,) = (row for row in rows_of_log if row["code"] == "login-failed")
    assert (refused["message"], refused["details"]) == ("(the sentence of a security event)", {"who": "(text)"})


def test_the_archive_has_facts_and_no_secret_of_the_rows(texts: dict[str, str]):
    whole = "\n".join(texts.values())
    assert [secret for secret in (NAMED, TOKEN, VARIABLE, OPTION, ECHO) if secret in whole] == []
    facts: dict[str, Any] = json.loads(texts["database/facts.json"])
    counts = facts["counts"][0]
    assert (counts["secrets"], counts["workspaces"]) == (1, 1)
    assert [row["name"] for row in facts["migrations"]] == [migration.name for migration in migrations()]
    assert facts["pending_files"] == []
    settings = {row["name"]: row["value"] for row in facts["group_settings"] if row["group"] == "Students"}
    assert settings == {"idle_disconnect": 30, "environment": "(secret)"}
    row = json.loads(texts["database/log.json"])[-1]
    assert row["message"] == "A program wrote (secret) and (secret); its options were --password (secret)."
    assert row["details"] == {"after": {"password": "(secret)", "seconds": 5}}
