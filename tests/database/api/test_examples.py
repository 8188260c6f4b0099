"""Every operation of /api/v1 has an example with a request to this api and its answer.

The calls are in `tests/database/api/examples`. `script/examples` runs them and records the answers; here
they are run again, and the recorded answers must have the same shape.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
import pytest
from fastapi import FastAPI
from tests.database.api.client import ADMIN, KEY, SAME_ORIGIN, USER, Client, MakeClient
from tests.database.api.examples import (
    account,
    fleet,
    leases,
    second_factors,
    secrets,
    sessions,
    sign_on,
    webhooks,
    workspaces,
)
from tests.database.api.examples.play import Json, Play, operations_of
from tests.database.api.examples.stable import kept, shape
from tests.database.api.examples.step import Scene
from tests.database.api.receiving import Hooks, Receiver
from tests.database.api.staging import Stage
from tests.support.oidc import Forger
from tests.support.played import serve

from greenroom.api.catalogue import downloads
from greenroom.api.examples.document import OPERATIONS, WEBHOOKS, recorded_examples, recorded_messages
from greenroom.core.webhooks import WebhookEvent
from greenroom.kit.certificates import new_authority

RECORD: Final = "RECORD_EXAMPLES"
STEPS: Final = [
    *account.ACCOUNT,
    *sessions.SESSIONS,
    *leases.LEASES,
    *account.PEOPLE[:3],
    *fleet.FLEET,
    *workspaces.WORKSPACES,
    *account.PEOPLE[3:],
    *workspaces.STAGING,
    *webhooks.WEBHOOKS,
    *secrets.SECRETS,
    *second_factors.SECOND_FACTORS,
    *sign_on.SIGN_ON,
    *sign_on.DIRECTORIES,
    *workspaces.AFTERWARDS,
    *sessions.AFTERWARDS,
    *sign_on.AFTERWARDS,
    *account.AFTERWARDS,
    *second_factors.AFTERWARDS,
]


SHOWN: Final = {
    ADMIN: "admin@example.org",
    USER: "bob@example.org",
    "127.0.0.1:8443": "desk.example.org",
    "localhost": "desk.example.org",
    "127.0.0.1:8445": "desk.example.org:8445",
    "127.0.0.1%3A8443": "desk.example.org",
}
"""Names of a real installation, which must not be in the examples."""


class Follower(Client):
    """Reads the first frame of an endless stream."""

    async def request(self, method: str, url: Any, **options: Any) -> httpx2.Response:
        options.pop("headers", None)
        async with self.stream(method, url, **options) as answer:
            if answer.is_error:
                await answer.aread()
                return answer
            lines: list[str] = []
            async for line in answer.aiter_lines():
                lines.append(line)
                if not line and any(each.startswith("data:") for each in lines):
                    break
            return httpx2.Response(200, headers=answer.headers, text="\n".join(lines))


@pytest.fixture
async def clients(
    stage: Stage, connect: MakeClient, logged_in: MakeClient, ada: Client, user: Client
) -> dict[str, Client]:
    """The callers; `visitor` is a browser in which ada logs in later, `program` gets the token of a lease."""
    visitor, elsewhere = await connect(), await connect()
    for client in (visitor, elsewhere):
        client.headers.update(SAME_ORIGIN)
    misdirected = await connect()
    misdirected.headers["Host"] = "elsewhere.example"
    return {
        "misdirected": misdirected,
        "admin": stage.admin,
        "operator": await logged_in(ADMIN),
        "ada": ada,
        "bob": user,
        "visitor": visitor,
        "elsewhere": elsewhere,
        "program": await connect(),
        "anonymous": await connect(),
    }


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    file = tmp_path / "ca.pem"
    file.write_text(new_authority("Greenroom", datetime.now(UTC)).certificate)
    return file


@pytest.fixture
async def scene(
    stage: Stage, clients: dict[str, Client], authority: Path, forger: Forger, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Scene]:
    monkeypatch.setattr(downloads, "download", workspaces.published_list)
    receiver = Receiver()
    await receiver.start()
    served, page = await serve(stage.app), leases.Page()
    of_page = await serve(page.app)
    page.address = of_page.address
    await stage.db.write("UPDATE images SET exec_config = %s", ('{"go": {"cmd": "browser --new-tab"}}',))
    async with Follower(base_url=f"http://{served.address}", auth=KEY, timeout=20) as follower:
        follower.headers["Host"] = "127.0.0.1:8443"
        ada_id = await clients["ada"].own_id()
        await stage.admin.change(f"/api/v1/users/{ada_id}", first_name="Ada", last_name="Lovelace")
        ids: dict[str, Any] = {
            "ada_id": ada_id,
            "bob_id": await clients["bob"].own_id(),
            "home_zone_id": stage.zone_id,
            "desktop_id": stage.image_id,
            "image_id": stage.image_id,
            "home_agent_id": stage.agent_id,
            "ca_file": authority,
            "page": page,
            "receiver_url": receiver.url,
            "issuer": forger.issuer,
            "forger": forger,
            "provider_name": "campus",
            "path": "Documents/notes.txt",
            "name": "firefox",
            "hooks": Hooks(stage.admin, stage.app, receiver),
        }
        yield Scene(stage.app, stage.db, clients | {"follower": follower}, ids)
    await page.close()
    for one in (served, of_page, receiver):
        await one.stop()


async def test_every_operation_is_asked_and_answered_as_its_example_shows(scene: Scene, app: FastAPI):
    play = Play(scene, operations_of(app.openapi()))
    play.stable.texts |= SHOWN | {
        scene.ids["receiver_url"]: webhooks.SHOWN_URL,
        scene.ids["issuer"]: sign_on.SHOWN_ISSUER,
        urlsplit(scene.ids["issuer"]).netloc: urlsplit(sign_on.SHOWN_ISSUER).netloc,
    }
    await webhooks.sent_everything(scene)
    for step in STEPS:
        await play.step(step)
    sent = messages_of(play, scene.ids["hooks"].receiver)
    if os.environ.get(RECORD):
        record(play, sent)
        return
    stale = [name for name, example in play.examples.items() if shape(example) != shape(recorded_examples().get(name))]
    stale += [event for event, message in sent.items() if shape(message) != shape(recorded_messages().get(event))]
    assert not stale, f"run script/examples: what is recorded has another shape than what is answered now, of {stale}"


def messages_of(play: Play, receiver: Receiver) -> Json:
    """The first message of each event, in the order of the table; preferably one whose ids are in no answer."""

    def rank(message: Json) -> tuple[bool, str]:
        return message["id"] in play.stable.texts, message["timestamp"]

    first = {message["type"]: message for message in sorted(receiver.messages, key=rank, reverse=True)}
    missing = set(WebhookEvent) - set(first)
    assert not missing, f"nothing was sent of {missing}: let it happen in tests/database/api/examples/webhooks.py"
    found: Json = {}
    for event in map(str, WebhookEvent):
        play.stable.of(event)
        found[event] = play.stable.value(first[event])
    return found


def record(play: Play, sent: Json) -> None:
    """Write the files; if only measurements differ, a file does not change."""
    old, files = recorded_examples(), dict[str, Json]()
    for name, operation in play.operations.items():
        files.setdefault(operation.tag.replace(" ", "-"), {})[name] = kept(old.get(name), play.examples[name])
    for file in OPERATIONS.glob("*.json"):
        file.unlink()
    for tag, examples in files.items():
        write(OPERATIONS / f"{tag}.json", examples)
    write(WEBHOOKS, kept(recorded_messages(), sent))


def write(file: Path, content: Json) -> None:
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
