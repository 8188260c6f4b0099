"""The protocol's public conformance suite with `/mcp`, and with the same transport and the suite's tools."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path

import pytest
import yaml
from starlette.types import ASGIApp, Receive, Scope, Send
from tests.support.mcp_fixtures import fixtures
from tests.support.played import serve

from greenroom.api.app import create_app
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.kit.config import ApiConfig
from greenroom.kit.secrets import Secrets, secret_digest
from greenroom.up.installation import ensure_first_data

SUITE = Path(__file__).parent / "clients/node_modules/@modelcontextprotocol/conformance"
KEY = ("abcdefghijkl", "the secret half")
NEEDS_NO_TOOLS = {
    "server-initialize",
    "ping",
    "tools-list",
    "resources-list",
    "dns-rebinding-protection",
    "server-sse-multiple-streams",
    "sep-2164-resource-not-found",
}
"""The scenarios of the suite that need no special tools: the product itself has to pass them."""
STATELESS, ASKS = "nothing is kept between two requests, so that any api process answers", "no client is ever asked"
NOT_OFFERED = {
    "logging-set-level": "no log is sent to clients",
    "tools-call-with-logging": "no log is sent to clients",
    "resources-subscribe": STATELESS,
    "resources-unsubscribe": STATELESS,
    "tools-call-sampling": ASKS,
    "tools-call-elicitation": ASKS,
    "elicitation-sep1034-defaults": ASKS,
    "elicitation-sep1330-enums": ASKS,
}
IN_WHICH_A_SERVER_ASKS = "input-required-result-"


def required(revision: str) -> set[str]:
    """The scenarios that a revision requires of a server with these features."""
    listed = yaml.safe_load((SUITE / f"requirements/{revision}.yaml").read_text())["server"]
    assert {name for name in NOT_OFFERED if revision < "2026"} <= set(listed)
    return {name for name in listed if name not in NOT_OFFERED and not name.startswith(IN_WHICH_A_SERVER_ASKS)}


async def failures(app: ASGIApp, revision: str, folder: Path) -> dict[str, list[str]]:
    """The failed checks of each scenario that the suite ran for a revision."""
    served = await serve(app)
    command = ["node", str(SUITE / "dist/index.js"), "server", "--url", f"http://127.0.0.1:{served.port}/mcp"]
    try:
        suite = await asyncio.create_subprocess_exec(
            *command, "--requirements", revision, "-o", str(folder), stdout=asyncio.subprocess.PIPE, cwd=folder
        )
        output = (await suite.communicate())[0].decode()
    finally:
        await served.stop()
    found = read(folder)
    assert found, output
    return found


def read(folder: Path) -> dict[str, list[str]]:
    """The failures in the suite's output folder."""
    found: dict[str, list[str]] = {}
    for file in folder.glob("**/checks.json"):
        name = file.parent.name.removeprefix("server-").partition("-20")[0]
        checks = json.loads(file.read_text())
        found[name] = [f"{one['id']}: {one.get('errorMessage')}" for one in checks if one["status"] == "FAILURE"]
    return found


@pytest.fixture
async def product(db: Database, dsn: str) -> ASGIApp:
    """The api; each request has the key of a program, for which the suite has no option."""
    await db.write("INSERT INTO zones (zone_name) VALUES ('default')")
    await ensure_first_data(
        db, image="desktop", admin_password_hash="", key_id=KEY[0], key_secret_hash=secret_digest(KEY[1])
    )
    config = ApiConfig(database_url=dsn, secret_key_file=Path("unused"))
    app = create_app(config, db, Secrets(bytes(32)), LogWriter(db, "api"))
    credential = (b"authorization", b"Basic " + base64.b64encode(":".join(KEY).encode()))

    async def with_key(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "headers": [*scope["headers"], credential]}, receive, send)

    return with_key


@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
async def test_what_a_revision_requires_is_passed(product: ASGIApp, revision: str, tmp_path: Path):
    """The scenarios that need tools of the suite are passed by the same transport with those tools."""
    folders = [tmp_path / "product", tmp_path / "fixtures"]
    for folder in folders:
        folder.mkdir()
    of_product, of_fixtures = await asyncio.gather(
        failures(product, revision, folders[0]), failures(fixtures, revision, folders[1])
    )
    wanted = required(revision)
    failed = {name: (of_product if name in NEEDS_NO_TOOLS else of_fixtures)[name] for name in wanted}
    assert not {name: checks for name, checks in failed.items() if checks}
