"""Steps of tests of provisioning: create a SCIM client, and send requests with its token."""

from __future__ import annotations

import json
from typing import Any

import httpx2
from tests.database.api.client import Client, MakeClient

SCIM_CLIENTS = "/api/v1/scim-clients"
SCIM = "/api/scim/v2"
USER_SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP_SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH_SCHEMA = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


class Provisioner:
    """A SCIM client of a test."""

    def __init__(self, http: Client, made: dict[str, Any]) -> None:
        self.http = http
        self.client_id: str = made["client_id"]
        self.token: str = made["token"]

    async def request(self, method: str, path: str, body: object = None, **headers: str) -> httpx2.Response:
        content = None if body is None else json.dumps(body)
        sent = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/scim+json"} | headers
        return await self.http.request(method, f"{SCIM}{path}", headers=sent, content=content)

    async def done(self, method: str, path: str, body: object = None, **headers: str) -> dict[str, Any]:
        answer = await self.request(method, path, body, **headers)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else {}

    async def refused(self, status: int, method: str, path: str, body: object = None, **headers: str) -> dict[str, Any]:
        """Send a request that is refused with an error of RFC 7644; returns the error."""
        answer = await self.request(method, path, body, **headers)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/scim+json"
        error = answer.json()
        assert error["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
        assert error["status"] == str(status)
        assert error["detail"]
        return error

    async def user(self, username: str, /, **fields: object) -> dict[str, Any]:
        return await self.done("POST", "/Users", {"schemas": [USER_SCHEMA], "userName": username} | fields)

    async def group(self, name: str, *members: str, **fields: object) -> dict[str, Any]:
        body = {"schemas": [GROUP_SCHEMA], "displayName": name, "members": [{"value": each} for each in members]}
        return await self.done("POST", "/Groups", body | fields)

    async def found(self, path: str, **query: str) -> list[dict[str, Any]]:
        answer = await self.http.get(f"{SCIM}{path}", params=query, headers={"Authorization": f"Bearer {self.token}"})
        assert answer.is_success, answer.text
        return answer.json()["Resources"]


def patch(*operations: dict[str, Any]) -> dict[str, Any]:
    """A PATCH request."""
    return {"schemas": [PATCH_SCHEMA], "Operations": list(operations)}


async def provisioner(admin: Client, connect: MakeClient, name: str = "Okta", **fields: object) -> Provisioner:
    """Create a SCIM client."""
    return Provisioner(await connect(), await admin.make(SCIM_CLIENTS, name=name, **fields))
