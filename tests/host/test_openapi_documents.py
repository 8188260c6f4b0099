"""Both OpenAPI documents: a public linter finds no error, and generated clients log in and launch."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from tests.support import rows
from tests.support.played import make_certificate, serve

from greenroom.api.app import create_app
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.kit.config import ApiConfig
from greenroom.kit.secrets import Secrets, secret_digest
from greenroom.up.installation import ensure_first_data

HERE = Path(__file__).parent
CLIENTS, GENERATORS = HERE / "clients", HERE / "generators"
KEY = ("abcdefghijkl", "the secret half")
USER, PASSWORD = "ada@example.org", "quite ordinary"
DOCUMENTS = {"v1": "/api/v1/openapi.json", "published": "/api/public/openapi.json"}
SESSION = r"[0-9a-f-]{36}"


@dataclass(frozen=True)
class Api:
    """A real api over TLS with a private authority, a user, and an Agent with capacity; its documents are files."""

    url: str
    image_id: str
    folder: Path

    async def run(self, *command: str | Path, cwd: Path | None = None) -> str:
        """The output of a program that succeeds."""
        ca_file = str(self.folder / "cert.pem")
        trust = {"SSL_CERT_FILE": ca_file, "NODE_EXTRA_CA_CERTS": ca_file, "REDOCLY_TELEMETRY": "off"}
        program = await asyncio.create_subprocess_exec(
            *map(str, command),
            cwd=cwd or self.folder,
            env={**os.environ, **trust, "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = (one.decode() for one in await program.communicate())
        assert program.returncode == 0, output + errors
        return output


@pytest.fixture
async def api(db: Database, dsn: str, tmp_path: Path) -> AsyncIterator[Api]:
    (zone,) = await db.write("INSERT INTO zones (zone_name) VALUES ('default') RETURNING zone_id::text")
    await ensure_first_data(
        db, image="desktop", admin_password_hash="", key_id=KEY[0], key_secret_hash=secret_digest(KEY[1])
    )
    (image,) = await db.fetch("SELECT image_id::text, name FROM images")
    await rows.agent(db, zone["zone_id"], hostname="agent-1", image=image["name"])
    make_certificate(tmp_path)
    config = ApiConfig(database_url=dsn, secret_key_file=Path("unused"))
    app = create_app(config, db, Secrets(bytes(32)), LogWriter(db, "api"))
    served = await serve(app, tls=tmp_path)
    url = f"https://127.0.0.1:{served.port}"
    try:
        async with httpx2.AsyncClient(
            base_url=url, verify=ssl.create_default_context(cafile=tmp_path / "cert.pem"), trust_env=False, timeout=60
        ) as client:  # the api composes a document at its first request
            for name, path in DOCUMENTS.items():
                (tmp_path / f"{name}.json").write_bytes((await client.get(path)).content)
            body = {"username": USER, "password": PASSWORD}
            assert (await client.post("/api/v1/users", json=body, auth=KEY)).status_code == 201
        yield Api(url, image["image_id"], tmp_path)
    finally:
        await served.stop()


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
async def test_a_linter_finds_no_error(api: Api, name: str):
    redocly = CLIENTS / "node_modules/.bin/redocly"
    found = json.loads(await api.run(redocly, "lint", f"{name}.json", "--format", "json"))
    errors = [one["message"] for one in found["problems"] if one["severity"] == "error"]
    assert errors == []


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
async def test_every_operation_says_which_credential_it_takes(api: Api, name: str):
    document = json.loads((api.folder / f"{name}.json").read_bytes())
    schemes = set(document["components"]["securitySchemes"])
    operations = [one for path in document["paths"].values() for one in path.values()]
    assert {scheme for one in operations for choice in one["security"] for scheme in choice} == schemes
    assert all(one["operationId"] for one in operations)
    assert not [schema for schema in document["components"]["schemas"] if "__" in schema], "a name is used twice"


async def test_a_generated_python_client_logs_in_and_launches(api: Api):
    generator = GENERATORS / ".venv/bin/openapi-python-client"
    for name in DOCUMENTS:
        await api.run(generator, "generate", "--path", f"{name}.json", "--meta", "none", "--output-path", name)
    program = shutil.copy(GENERATORS / "launch.py", api.folder)
    python = GENERATORS / ".venv/bin/python"
    said = await api.run(python, program, api.url, *KEY, USER, PASSWORD, api.image_id)
    assert re.fullmatch(rf"log-in 202 {SESSION}\nkey 202 {SESSION}\npublished 200 {SESSION}\n", said), said


async def test_a_generated_typescript_client_logs_in_and_launches(api: Api):
    programs = CLIENTS / "node_modules/.bin"
    (api.folder / "node_modules").symlink_to(CLIENTS / "node_modules")
    (api.folder / "package.json").write_text('{"type": "module"}')
    for name in DOCUMENTS:
        await api.run(
            programs / "openapi-typescript", "--default-non-nullable=false", f"{name}.json", "-o", f"{name}.ts"
        )
    shutil.copy(CLIENTS / "launch.ts", api.folder)
    options = ["--strict", "--skipLibCheck", "--target", "es2022", "--module", "nodenext"]
    await api.run(programs / "tsc", *options, "--lib", "es2022,dom,dom.iterable", "launch.ts", "published.ts")
    said = await api.run("node", "launch.js", api.url, USER, PASSWORD, api.image_id)
    assert re.fullmatch(rf"202 {SESSION}\n", said), said
