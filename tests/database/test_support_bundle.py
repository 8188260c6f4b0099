"""The support archive has the counts, migrations and log rows of the database, and no secret of its rows."""

from __future__ import annotations

import asyncio
import json
import tarfile
from datetime import UTC, datetime
from pathlib import Path
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
