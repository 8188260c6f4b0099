"""The checks of `greenroom up` before it begins: the owner of the database, and of the data."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.support.processes import free_port

from greenroom.core.errors import SetupError
from greenroom.db.database import Database
from greenroom.db.installation import installation_id
from greenroom.up.account import Account
from greenroom.up.checks import check_machine
from greenroom.up.deployment import FirstHost, begin_installation
from greenroom.up.layout import Layout
from greenroom.up.options import Settings

MINE = Account(None)
NOW = datetime(2030, 1, 1, tzinfo=UTC)
SITE = FirstHost(zone="eu", hosts=["desk.example"], port=8443, stream_port=8445, desktop_image="greenroom/desktop:xfce")


async def test_a_new_instance_is_not_begun_on_the_database_of_another(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("GREENROOM_RUNTIME", "simulated")
    layout, settings = Layout(tmp_path / "data"), Settings(port=free_port(), database_url=db.dsn)
    await check_machine(layout, settings)
    await begin_installation(tmp_path / "first", db.dsn, SITE)
    with pytest.raises(SetupError, match=f"its key is not in {layout.keys}: specify the --data of that installation"):
        await check_machine(layout, settings)
    assert not layout.data.exists()
    layout.keys.mkdir(parents=True)
    (tmp_path / "first/installation.key").rename(layout.key_file)
    await check_machine(layout, settings)


async def test_data_of_one_installation_refuses_the_database_of_another(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("GREENROOM_RUNTIME", "simulated")
    layout, settings = Layout(tmp_path / "data"), Settings(port=free_port(), database_url=db.dsn)
    await begin_installation(layout.keys, db.dsn, SITE)
    layout.installation_id.write_text(await installation_id(db) + "\n")
    await check_machine(layout, settings)
    await db.write("UPDATE installation SET installation_id = gen_random_uuid()")
    with pytest.raises(
        SetupError, match=f"the database belongs to {await installation_id(db)}; specify the database of this"
    ):
        await check_machine(layout, settings)


async def test_no_other_key_is_made_for_the_database_in_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GREENROOM_RUNTIME", "simulated")
    layout, settings = Layout(tmp_path), Settings(port=free_port())
    (layout.postgres / "data").mkdir(parents=True)
    with pytest.raises(SetupError, match=f"its key is not in {layout.keys}: restore {tmp_path} from a backup"):
        await check_machine(layout, settings)
