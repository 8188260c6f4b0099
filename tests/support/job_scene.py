"""An instance in which the daily jobs of `tests.support.jobs` can be done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from tests.acceptance.instance import Instance, wait_for

from greenroom.db.access.users import ALL_USERS

USERNAME: Final = "dana@example.org"
PASSWORD: Final = "correct horse battery"
GROUP: Final = "Contractors"
DESKTOP, LARGE, HUGE, PROJECTS, SEMINAR = "Desktop", "Rendering", "Simulation", "Projects", "Seminar"
"""Workspaces: one with a full pool, one with an empty pool, one whose launch failed, one with kept home folders, one
without a pool."""
REFUSED: Final = "/check-in-of-a-job"
"""The path of a request that a Manager answered with 503."""


@dataclass
class JobScene:
    """An instance in which each job can be done, with the objects that the jobs are about."""

    instance: Instance
    user_id: str
    images: dict[str, str] = field(default_factory=dict[str, str])
    configs: dict[str, str] = field(default_factory=dict[str, str])
    group_id: str = ""
    join_tokens: set[str] = field(default_factory=set[str])
    """Those that existed before a job."""

    def call(self, method: str, path: str, **options: Any) -> Any:
        """Send a request to /api/v1 that must succeed; returns its JSON."""
        return self.instance.call(method, path, **options)

    def launch(self, image_id: str, **options: Any) -> str:
        """Launch a workspace for the user of the jobs; returns the id of the running session."""
        body = {"image_id": image_id, "user_id": self.user_id, **options}
        session_id: str = self.call("POST", "/sessions", json=body)["session_id"]
        wait_for(lambda: self.instance.has_status(session_id, "running"), "the session runs")
        return session_id

    def sessions(self) -> list[dict[str, Any]]:
        """The sessions of the user of the jobs."""
        return self.call("GET", "/sessions", params={"user_id": self.user_id})

    def session(self) -> dict[str, Any]:
        """The only session of the user of the jobs."""
        (session,) = self.sessions()
        return session

    def end_sessions(self) -> None:
        """Delete the sessions of the user of the jobs, and wait until the pool is full again."""
        for session in self.sessions():
            self.call("DELETE", f"/sessions/{session['session_id']}")
        wait_for(lambda: not self.sessions(), "the sessions of the user are gone")
        wait_for(lambda: self.instance.staged(self.configs[DESKTOP]) == 1, "the pool is full")

    def primary(self) -> dict[str, Any]:
        """The Primary Manager."""
        return next(each for each in self.call("GET", "/managers") if each["is_primary"])


@contextmanager
def scene_at(instance: Instance) -> Iterator[JobScene]:
    """Prepare an instance with two Managers and a simulated Agent for the jobs."""
    call = instance.call
    user_id = call("POST", "/users", json={"username": USERNAME, "password": PASSWORD})["user_id"]
    call("PATCH", f"/groups/{ALL_USERS}", json={"settings": {"allow_kasm_sharing": True}})
    scene = JobScene(instance, user_id)
    scene.group_id = call("POST", "/groups", json={"name": GROUP, "priority": 7})["group_id"]
    image = call("GET", f"/images/{instance.desktop()}")["name"]
    scene.images[DESKTOP] = instance.desktop()
    for name, more in {
        LARGE: {"cores": 3000},
        HUGE: {"cores": 4000},
        PROJECTS: {"cores": 1, "persistent_profile_path": "{homes}"},
        SEMINAR: {"cores": 1},
    }.items():
        body = {"name": image, "friendly_name": name, "memory": 1_000_000_000, **more}
        scene.images[name] = call("POST", "/images", json=body)["image_id"]
        call("PUT", f"/groups/{ALL_USERS}/images/{scene.images[name]}")
    zone_id = instance.found["zones"][0]["zone_id"]
    for name in (DESKTOP, LARGE):
        body = {"zone_id": zone_id, "image_id": scene.images[name], "num_sessions": 1, "expiration": 8}
        scene.configs[name] = call("POST", "/staging-configs", json=body)["staging_config_id"]
    wait_for(lambda: instance.staged(scene.configs[DESKTOP]) == 1, "the pool is full", within_s=60)
    with instance.http() as http:
        answer = http.post("/api/v1/sessions", json={"image_id": scene.images[HUGE], "user_id": user_id})
        assert answer.status_code == 409, answer.text
    scene.launch(scene.images[DESKTOP], environment={"COURSE": "1"})  # no staged session has it
    scene.end_sessions()
    instance.sql(
        "INSERT INTO manager_requests (manager_instance_id, method, path, status, duration_ms)"
        " VALUES (%s, 'POST', %s, 503, 3)",
        *(instance.found["managers"][0]["instance_id"], REFUSED),
    )
    yield scene
