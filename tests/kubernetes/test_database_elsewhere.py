"""The overlay for an external database in docs/howto/kubernetes.md, with two servers, one of them unavailable."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest
from tests.acceptance.instance import wait_for
from tests.acceptance.open_desktop import is_streamed
from tests.kubernetes.crowd import new_session, runs, watched
from tests.kubernetes.database_elsewhere import PORT, DatabaseElsewhere
from tests.kubernetes.deployed import is_available, leased
from tests.support.kubernetes.cluster import Cluster
from tests.support.kubernetes.installation import Installation
from tests.support.kubernetes.page import SOON_S, read

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

SERVERS: Final = "db-1.example.org:5432,db-2.example.org:5432"
"""The servers as named on the page."""


@pytest.fixture
def database(kubernetes: Cluster) -> Iterator[DatabaseElsewhere]:
    started = DatabaseElsewhere(kubernetes.host)
    started.start()
    yield started
    started.remove()


@pytest.fixture
def installation(
    kubernetes: Cluster,
    database: DatabaseElsewhere,
    role_images: list[str],
    openbox_image: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Installation]:
    """Greenroom after the sections "Install" and "Use an external database"."""
    kubernetes.load_image(*role_images, openbox_image)
    found = Installation(kubernetes, tmp_path_factory.mktemp("reader"))
    nothing_there = f"{kubernetes.nodes[0].address}:{PORT}"
    servers = {SERVERS: f"{nothing_there},{database.address}:{PORT}"}
    try:
        found.prepare()
        (found.folder / "database-ca.pem").write_text(database.authority.read_text())
        read(found, "Install", blocks=slice(0, 1))
        passwords, *_ = read(found, "Use an external database", blocks=slice(0, 1))
        database.make(*passwords.split())
        read(found, "Use an external database", servers, blocks=slice(1, None))
        read(found, "Install", blocks=slice(2, None))
        yield found
    finally:
        found.remove()


def test_a_database_elsewhere_serves_and_what_runs_outlives_its_end(
    installation: Installation, database: DatabaseElsewhere
):
    assert installation.pods("kasm-db") == []
    wait_for(lambda: is_available(installation, "Desktop"), "the workspace can be launched", SOON_S)
    session_id = new_session(installation)
    wait_for(lambda: runs(installation, session_id), "the session runs", SOON_S)
    wait_for(lambda: is_streamed(installation, session_id), "the desktop may be opened", SOON_S)
    with leased(installation) as desk:
        assert desk.screenshot().startswith(b"\x89PNG")
    with watched(installation, session_id) as crowd:
        database.kill()
        wait_for(lambda: not installation.answers(), "the console answers no one", SOON_S)
        database.start()
        wait_for(installation.answers, "the console answers", SOON_S)
        made = new_session(installation)
        wait_for(lambda: runs(installation, made), "launches work", SOON_S)
        frames = crowd.frames
        wait_for(lambda: crowd.problems or crowd.frames > frames, "the desktop goes on", SOON_S)
