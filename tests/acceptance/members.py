"""A user with individual group settings, and the user's sessions seen from inside and outside the container."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.acceptance.instance import Instance, wait_for


@dataclass(frozen=True)
class Running:
    """A running session."""

    instance: Instance
    session_id: str

    def row(self) -> dict[str, Any]:
        """The session as in /api/v1."""
        return self.instance.session(self.session_id)

    def facts(self) -> dict[str, Any]:
        """Docker's description of its container."""
        found = run("docker", "inspect", f"gr-{self.session_id}")
        return json.loads(found)[0]

    def environment(self) -> dict[str, str]:
        """The variables with which its container was created."""
        return dict(line.split("=", 1) for line in self.facts()["Config"]["Env"])

    def shell(self, script: str) -> str:
        """The output of a script inside it, as the session's user."""
        return run("docker", "exec", f"gr-{self.session_id}", "bash", "-c", script).strip()

    def delete(self) -> None:
        """End it and wait until its container is gone."""
        self.instance.call("DELETE", f"/sessions/{self.session_id}")
        wait_for(lambda: not self.instance.containers_of(self.session_id), "the container is gone")


@dataclass
class Member:
    """A user."""

    instance: Instance
    user_id: str
    username: str
    groups: list[str] = field(default_factory=list[str])

    def join(self, priority: int = 1, **settings: Any) -> None:
        """Put the user into a new group with these settings."""
        body = {"name": f"g-{uuid.uuid4().hex[:10]}", "priority": priority, "settings": settings}
        group_id = self.instance.call("POST", "/groups", json=body)["group_id"]
        self.groups.append(group_id)
        self.instance.call("PUT", f"/groups/{group_id}/users/{self.user_id}")

    def ask(self, image_id: str | None = None, **body: Any) -> dict[str, Any]:
        """Launch a workspace, by default `Desktop`; returns the answer."""
        wanted = {"image_id": image_id or self.instance.desktop(), "user_id": self.user_id, **body}
        return self.instance.call("POST", "/sessions", json=wanted)

    def launch(self, image_id: str | None = None, **body: Any) -> Running:
        """Launch a workspace, and wait until the session runs."""
        session_id = self.ask(image_id, **body)["session_id"]
        wait_for(lambda: self.instance.has_status(session_id, "running"), "the session runs", within_s=60)
        return Running(self.instance, session_id)


@contextmanager
def member_of(instance: Instance, **settings: Any) -> Iterator[Member]:
    """A new user whose group has these settings; the user, the groups and the sessions are deleted at the end."""
    username = f"u-{uuid.uuid4().hex[:10]}@example.org"
    user_id = instance.call("POST", "/users", json={"username": username})["user_id"]
    member = Member(instance, user_id, username)
    try:
        if settings:
            member.join(**settings)
        yield member
    finally:
        sessions = instance.sessions_of_user(user_id)
        instance.call("DELETE", f"/users/{user_id}?force=true")
        for group_id in member.groups:
            instance.call("DELETE", f"/groups/{group_id}")
        wait_for(lambda: not any(map(instance.containers_of, sessions)), "the user's containers are gone", within_s=60)


@contextmanager
def workspace(instance: Instance, **fields: Any) -> Iterator[str]:
    """The id of a new workspace with the instance's desktop; it is deleted at the end."""
    like = instance.call("GET", f"/images/{instance.desktop()}")
    same = {name: like[name] for name in ("name", "cores", "memory", "memory_limit")}
    body = {**same, "friendly_name": f"w-{uuid.uuid4().hex[:10]}", **fields}
    image_id = instance.call("POST", "/images", json=body)["image_id"]
    try:
        yield image_id
    finally:
        wait_for(
            lambda: not instance.sql("SELECT 1 FROM sessions WHERE image_id = %s AND status <> 'deleted'", image_id),
            "the sessions of the workspace have ended",
        )
        instance.call("DELETE", f"/images/{image_id}")


def run(*command: str) -> str:
    """The output of a command."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout
