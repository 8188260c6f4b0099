"""The data about a deployment in containers in the database, and the data that additional hosts receive."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from greenroom.core.errors import NotFound, SetupError
from greenroom.db.database import Database
from greenroom.db.fleet.enrollment import list_join_tokens, read_token
from greenroom.kit.secrets import secret_digest
from greenroom.up.account import Account
from greenroom.up.deployment import Deployment, FirstHost, add_host, begin_installation, initialize_database
from greenroom.up.installation import find_zones

MINE = Account(None)
NOW = datetime(2030, 1, 1, tzinfo=UTC)
SITE = FirstHost(zone="eu", hosts=["desk.example"], port=8443, stream_port=8445, desktop_image="greenroom/desktop:xfce")


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    made = Deployment(tmp_path, services=MINE, database=MINE)
    made.create_files(["desk.example"], NOW)
    return made


async def test_a_database_is_filled_once_and_the_agents_token_counts_once(db: Database, deployment: Deployment):
    await initialize_database(deployment, db.dsn, SITE)
    await initialize_database(deployment, db.dsn, SITE)
    zone = (await find_zones(db, ["eu"]))["eu"]
    token = await read_token(db, secret_digest(deployment.join_token.read_text().strip()))
    assert token is not None
    assert token.zone_id == zone.zone_id
    assert len((await list_join_tokens(db)).rows) == 1
    rows = await db.fetch("SELECT zone_name, allow_origin_domain, upstream_auth_address FROM zones")
    assert [dict(row) for row in rows if row["zone_name"] == "eu"] == [
        {
            "zone_name": "eu",
            "allow_origin_domain": "127.0.0.1,localhost,desk.example",
            "upstream_auth_address": "desk.example:8443",
        }
    ]
    assert deployment.credentials.stat().st_mode & 0o777 == 0o600


async def test_an_agent_that_joined_gets_no_further_token(db: Database, deployment: Deployment):
    (deployment.folder / "agent/identity.json").write_text("{}")
    await initialize_database(deployment, db.dsn, SITE)
    assert (await list_join_tokens(db)).rows == []


async def test_a_further_host_is_given_what_it_needs_and_no_authority(db: Database, deployment: Deployment):
    await initialize_database(deployment, db.dsn, SITE)
    folder = await add_host(deployment, db.dsn, "second.example", "eu", NOW)
    needed = {"installation.key", "service.password", "ca.pem", "server.pem", "server.key", "join_token"}
    assert {file.name for file in folder.iterdir()} == needed
    assert folder.stat().st_mode & 0o777 == 0o700
    assert await read_token(db, secret_digest((folder / "join_token").read_text().strip())) is not None
    (event,) = await db.fetch("SELECT operation, message FROM audit_events")
    assert (event["operation"], "second.example" in event["message"]) == ("greenroom setup host", True)


async def test_beginning_an_installation_again_keeps_its_secrets(db: Database, tmp_path: Path):
    folder = tmp_path / "etc"
    await begin_installation(folder, db.dsn, SITE)
    before = {file: file.stat() for file in folder.iterdir()}
    assert {file.name for file in before} == {"installation.key", "gateway.credential", "credentials.json"}
    assert {status.st_mode & 0o777 for status in before.values()} == {0o600}
    await begin_installation(folder, db.dsn, SITE)
    assert {file: file.stat().st_ino for file in folder.iterdir()} == {
        file: status.st_ino for file, status in before.items()
    }


async def test_an_installation_is_not_begun_a_second_time_with_another_key(db: Database, tmp_path: Path):
    await db.write("DROP SCHEMA public CASCADE")
    await db.write("CREATE SCHEMA public")
    first, second = tmp_path / "first", tmp_path / "second"
    await begin_installation(first, db.dsn, SITE)
    with pytest.raises(SetupError, match=f"its key is not in {second}: copy installation.key and gateway.credential"):
        await begin_installation(second, db.dsn, SITE)
    assert not second.exists()
    second.mkdir()
    (second / "installation.key").write_bytes((first / "installation.key").read_bytes())
    await begin_installation(second, db.dsn, SITE)
    assert (second / "gateway.credential").read_text() == (first / "gateway.credential").read_text()
    assert not (second / "credentials.json").exists(), "the first data were made with those of the first machine"


async def test_no_host_is_added_to_a_zone_that_is_not_there(db: Database, deployment: Deployment):
    await initialize_database(deployment, db.dsn, SITE)
    with pytest.raises(NotFound, match="There is no zone nowhere"):
        await add_host(deployment, db.dsn, "second.example", "nowhere", NOW)
    assert not (deployment.folder / "hosts").exists()
