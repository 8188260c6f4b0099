"""A caller of the api: a request in one line, with the expected answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx2

from greenroom.kit.passwords import hash_password

ADMIN, PASSWORD = "admin@greenroom.local", "one-time secret"
PASSWORD_HASH = hash_password(PASSWORD)
USER, ADA, USERS_PASSWORD = "user@greenroom.local", "ada@example.org", "quite ordinary"
KEY = ("abcdefghijkl", "the secret half")
KEYS = {"api_key": KEY[0], "api_key_secret": KEY[1]}
"""The installation's first key, in the fields of the published interface."""
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


class Client(httpx2.AsyncClient):
    """A client whose methods, except `httpx2`'s own, assert the status of the answer."""

    async def read(self, path: str, **params: Any) -> Any:
        """The content of a list or an object."""
        return _content(await self.get(path, params=params or None), 200)

    async def only(self, path: str, **params: Any) -> dict[str, Any]:
        """The only entry of a list."""
        (entry,) = await self.read(path, **params)
        return entry

    async def make(self, path: str, **body: Any) -> dict[str, Any]:
        """Create an object."""
        return _content(await self.post(path, json=body), 201)

    async def change(self, path: str, **body: Any) -> dict[str, Any]:
        """Change an object and return it."""
        return _content(await self.patch(path, json=body), 200)

    async def launch(self, image_id: str | None = None, **body: Any) -> dict[str, Any]:
        """Launch a session and return the answer."""
        asked = body if image_id is None else {"image_id": image_id, **body}
        return _content(await self.post("/api/v1/sessions", json=asked), 202)

    async def pages(self, path: str, **params: Any) -> list[dict[str, Any]]:
        """All entries of a list, read page by page."""
        answer = await self.get(path, params=params)
        found: list[dict[str, Any]] = _content(answer, 200)
        while "next" in answer.links:
            answer = await self.get(answer.links["next"]["url"])
            found += _content(answer, 200)
        return found

    async def refused(self, status: int, what: str, body: object = None, **params: Any) -> str:
        """The code and the message of the refusal of `what`, a method and a path, with this status."""
        method, _, path = what.partition(" ")
        answer = await self.request(method, path, json=body, params=params or None)
        assert answer.status_code == status, f"{what}: {answer.text}"
        problem = answer.json()
        return f"{problem['code']}: {problem['detail']}"

    async def published(self, name: str, /, **body: Any) -> dict[str, Any]:
        """The answer to a call of the published interface with the installation's first key."""
        answer = await self.post(f"/api/public/{name}", json=KEYS | body)
        assert answer.headers["content-type"] == "application/json"
        return _content(answer, 200)

    async def published_refusal(self, name: str, /, **body: Any) -> str:
        """The reason for which a published call is refused."""
        answer = await self.published(name, **body)
        assert set(answer) == {"error_message"}, answer
        return answer["error_message"]

    async def own_id(self) -> str:
        """The id of the logged-in user."""
        return (await self.read("/api/v1/me"))["user"]["user_id"]


MakeClient = Callable[..., Awaitable[Client]]


def _content(answer: httpx2.Response, status: int) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()
