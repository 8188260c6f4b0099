"""The checks of scim2-tester, which knows RFC 7643 and RFC 7644, against the real api."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import FastAPI
from scim2_client import BaseSyncSCIMClient
from scim2_client.engines.asgi import ASGISCIMClient
from scim2_tester import Status, check_server
from tests.database.api.client import Client, MakeClient
from tests.database.api.provisioning import SCIM, provisioner


class LoopScimClient(BaseSyncSCIMClient):
    """A client for the thread of the checks; its requests run in the event loop of the api."""

    def __init__(self, client: ASGISCIMClient, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._client = client
        self._loop = loop

    def request(self, method: str, url: str, **kwargs: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(self._client.request(method, url, **kwargs), self._loop).result(60)

    def _stays_under_base_url(self, endpoint: str) -> bool:
        return self._client._stays_under_base_url(endpoint)  # pyright: ignore[reportPrivateUsage]

    def _parse_json(self, response: Any) -> Any:
        return response.json()


async def test_all_checks_of_the_standard_pass(app: FastAPI, admin: Client, connect: MakeClient):
    token = (await provisioner(admin, connect)).token
    inner = ASGISCIMClient(app, f"https://127.0.0.1:8443{SCIM}", {"Authorization": f"Bearer {token}"})
    results = await asyncio.to_thread(check_server, LoopScimClient(inner, asyncio.get_running_loop()))
    wrong = [f"{each.title} {each.resource_type}: {each.reason}" for each in results if each.status == Status.ERROR]
    assert wrong == []
    passed = [each for each in results if each.status == Status.SUCCESS]
    assert len(passed) > 50
