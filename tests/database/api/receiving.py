"""A receiver of webhooks: a server on this host that stores the received messages, and answers as the test requires."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tests.database.api.client import Client
from tests.support.played import Served, serve

from greenroom.api.webhooks.delivery import DeliveryWorker

PATH = "/api/v1/webhooks"


@dataclass
class Receiver:
    """A receiver. `requests` are (headers, body); an answer is `status` with `answer`, after `pause_s`."""

    status: int = 204
    answer: bytes = b""
    headers: dict[str, str] = field(default_factory=dict[str, str])
    pause_s: float = 0.0
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list[tuple[dict[str, str], bytes]])
    served: Served | None = None

    async def start(self) -> None:
        self.served = await serve(Starlette(routes=[Route("/{path:path}", self._take, methods=["GET", "POST"])]))

    async def stop(self) -> None:
        assert self.served
        await self.served.stop()

    @property
    def url(self) -> str:
        assert self.served
        return f"http://{self.served.address}/hook"

    async def _take(self, request: Request) -> Response:
        self.requests.append((dict(request.headers), await request.body()))
        await asyncio.sleep(self.pause_s)
        return Response(self.answer, self.status, headers=self.headers)

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.requests]

    def of(self, event: str) -> dict[str, Any]:
        """The data of the only message of this type."""
        (message,) = [message for message in self.messages if message["type"] == event]
        return message["data"]


@dataclass
class Hooks:
    """A webhook of the receiver, and the api's deliveries."""

    admin: Client
    app: FastAPI
    receiver: Receiver

    @property
    def delivery_worker(self) -> DeliveryWorker:
        return self.app.state.delivery_worker

    async def made(self, *events: str, **fields: Any) -> dict[str, Any]:
        return await self.admin.make(PATH, **{"name": "ci", "url": self.receiver.url, "events": list(events)} | fields)

    async def delivered(self, delivery_worker: DeliveryWorker | None = None) -> float:
        """Let an api deliver due messages; returns the seconds until its next check."""
        one = delivery_worker or self.delivery_worker
        await one.start_due_deliveries()
        await one.wait_until_idle()
        return await one.start_due_deliveries()

    async def deliveries(self, made: dict[str, Any], **query: str) -> list[dict[str, Any]]:
        return await self.admin.read(f"{PATH}/{made['webhook_id']}/deliveries", **query)


def is_signed(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """Verify a signature like a receiver, by the text of Standard Webhooks."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return headers["webhook-signature"] == expected
