"""A running session that its user may share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.database.api.client import Client
from tests.database.api.staging import Session

from greenroom.db.fleet.checkin import read_desired

ALLOWED = {"allow_kasm_sharing": True, "allow_shared_control": True, "allow_guest_links": True}


@dataclass(frozen=True)
class Shared(Session):
    """A running session of ada, who may share it, on an Agent that has a credential."""

    anonymous: Client

    async def share(self, **body: Any) -> dict[str, Any]:
        return await self.ada.make(f"{self.path}/shares", **{"access": "view", **body})

    async def join(self, who: Client, share: dict[str, Any], **body: Any) -> dict[str, Any]:
        return await who.make(f"/api/v1/shares/{share['share_id']}/viewers", token=secret_of(share), **body)

    async def verdict(self, token: str) -> dict[str, Any]:
        """The api's answer to the Agent."""
        answer = await self.anonymous.post(
            "/api/internal/stream", json={"session_id": self.session_id, "token": token}, headers=self.as_agent
        )
        assert answer.status_code == 200, answer.text
        return {"access": "view"} | answer.json()

    async def report(self, **clients: str) -> None:
        """Let the Agent report the viewers of the session: viewer id → address."""
        watchers = [{"viewer_id": viewer, "client": client} for viewer, client in clients.items()]
        body = {"session_id": self.session_id, "watchers": watchers}
        answer = await self.anonymous.post("/api/internal/viewers", json=body, headers=self.as_agent)
        assert answer.status_code == 204, answer.text

    @property
    def as_agent(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.stage.agent_id}.credential"}

    async def guests(self) -> dict[str, str]:
        """The guests that the Agent must admit: viewer id → their permission."""
        (desired,) = await read_desired(self.db, self.stage.agent_id)
        return dict(desired.guests)

    async def in_one_group(self, user_id: str) -> None:
        """Make the session's user and another one members of a group."""
        group = await self.admin.make("/api/v1/groups", name="Team")
        for member in (self.ada_id, user_id):
            await self.admin.put(f"/api/v1/groups/{group['group_id']}/users/{member}")

    async def logged(self, code: str) -> list[str]:
        return [row["message"] for row in await self.stage.log(code)]


def secret_of(share: dict[str, Any]) -> str:
    path, _, secret = share["connect_url"].partition("#")
    assert path == f"/join/{share['share_id']}"
    return secret
