"""The recorded calls of the published interface get the recorded answers, and its document contains all of them."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any, cast

from fastapi import FastAPI
from tests.database.api.client import Client
from tests.database.api.watched_page import WatchedPage

from greenroom.db.database import Database
from greenroom.interfaces.public.absent import ABSENT
from greenroom.interfaces.public.document import SCREENSHOT_CALL, recorded_calls

UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}")
DATE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}")
OTHERS = {"session_token", "token", "view_only_token", "share_id", "url", "kasm_url", "version"}
"""Fields whose text differs between installations."""


class Replay:
    """Compares replies with recorded ones; stores the id here for each recorded id."""

    def __init__(self) -> None:
        self.here: dict[str, str] = {}

    def request(self, recorded_request: dict[str, Any]) -> dict[str, Any]:
        text = json.dumps(recorded_request)
        for there in sorted(self.here, key=len, reverse=True):
            text = text.replace(there, self.here[there])
        return json.loads(text)

    def compare(self, there: Any, here: Any, where: str) -> None:
        assert type(there) is type(here), f"{where}: {there!r} became {here!r}"
        if isinstance(there, dict):
            fields = cast("dict[str, Any]", here)
            recorded_fields = {self.here.get(key, key): value for key, value in cast("dict[str, Any]", there).items()}
            assert set(recorded_fields) == set(fields), where
            for name, value in recorded_fields.items():
                self.compare(value, fields[name], f"{where}.{name}")
        elif isinstance(there, list):
            assert len(cast("list[Any]", there)) == len(cast("list[Any]", here)), where
            for one, other in zip(cast("list[Any]", there), cast("list[Any]", here), strict=True):
                self.compare(one, other, where)
        elif isinstance(there, str):
            self._compare_texts(there, here, where)
        else:
            assert there == here, where

    def _compare_texts(self, there: str, here: str, where: str) -> None:
        name = where.rpartition(".")[2]
        if UUID.fullmatch(there):
            assert len(there) == len(here), where
            known = self.here.setdefault(uuid.UUID(there).hex, uuid.UUID(here).hex)
            self.here.setdefault(str(uuid.UUID(there)), str(uuid.UUID(here)))
            assert uuid.UUID(known) == uuid.UUID(here) or name == "group_image_id", where
        elif DATE.fullmatch(there):
            assert DATE.fullmatch(here), where
        elif name in OTHERS:
            assert here, where
            self.here.setdefault(there, here)
        elif not UUID.search(there):
            assert there == here, where


async def test_recorded_calls_are_answered_as_they_were(anonymous: Client, app: FastAPI, db: Database, agent: str):
    """Programs were written according to these examples; a change here is a change for them."""
    replay, app.state.desks = Replay(), WatchedPage()
    for one in recorded_calls():
        reply = await anonymous.published(one["call"], **replay.request(one["request"]))
        replay.compare(one["reply"], reply, one["call"])
        if one["call"] == "request_kasm":  # the report of its Agent
            await db.write("UPDATE sessions SET status = 'running', started = now()")
            await db.write(
                "INSERT INTO session_steps (session_id, name) SELECT session_id, 'painted' FROM sessions"
                " ON CONFLICT DO NOTHING"
            )


async def test_the_document_has_every_call_with_an_example(anonymous: Client, app: FastAPI):
    document = await anonymous.read("/api/public/openapi.json")
    without = {SCREENSHOT_CALL} | {
        name for kind in ABSENT for name in (*kind.list_calls, *kind.view_calls, *kind.change_calls)
    }
    for path, operations in document["paths"].items():
        operation = operations["post"]
        examples = operation["requestBody"]["content"]["application/json"]["examples"]
        assert operation["description"], path
        assert examples or operation["operationId"] in without, path
        assert {"200", "401", "403"} <= set(operation["responses"])
    assert len(document["paths"]) > 100
