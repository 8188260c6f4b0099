"""The live sessions of the demo: launches, leases, stops, pauses and shares, through the api."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Final

import httpx2

from greenroom.client import Greenroom
from greenroom.core.errors import SetupError
from greenroom.demo.history import DemoWorld, InventedUser, InventedWorkspace, zone_of
from greenroom.demo.objects import CreatedObjects
from greenroom.demo.people import LOG_INS
from greenroom.demo.plan import MAIN
from greenroom.shared.errors import GreenroomError

LAUNCH_SPACING_S: Final = 0.05
WAIT_S: Final = 120.0
POLL_S: Final = 0.5
_RESTING: Final = ("pause", "pause", "stop")
"""The lifecycle commands of sessions that do not run; one in eight sessions gets one of them."""


def wait_until(is_done: Callable[[], bool], what: str, within_s: float = WAIT_S) -> None:
    """Wait until a condition is true. Raises SetupError: it is not true in time."""
    end_s = time.monotonic() + within_s
    while not is_done():
        if time.monotonic() > end_s:
            raise SetupError(f"The demo is not ready after {within_s:g} s: {what}. Start it again on an idle machine.")
        time.sleep(POLL_S)


def wait_for_hosts(made: CreatedObjects, number: int) -> None:
    """Wait until this number of Agents runs."""

    def all_run() -> bool:
        return sum(agent["status"] == "running" for agent in made.rows("/agents")) >= number

    wait_until(all_run, "not all Agents run")


def wait_for_pools(made: CreatedObjects) -> None:
    """Wait until all pools are full, except paused ones."""

    def all_full() -> bool:
        pools = [pool for pool in made.rows("/staging-configs") if not pool["paused"]]
        return all(pool["num_current_sessions"] >= pool["num_sessions"] for pool in pools)

    wait_until(all_full, "not all pools are full")


def wait_for_failed_image(made: CreatedObjects, key: str) -> None:
    """Wait until an Agent has failed to get the image of a workspace, and no Agent has it or fetches it."""
    path = f"/images/{made.workspaces[key].image_id}"

    def has_failed() -> bool:
        states = {agent["state"] for agent in made.greenroom.request("GET", path)["agents"]}
        return "failed" in states and not states & {"present", "pulling"}

    wait_until(has_failed, "an Agent still tries to get an image")


def wait_for_sessions(made: CreatedObjects) -> None:
    """Wait until no session starts or changes."""
    changing = {"requested", "starting", "assigning", "stopping", "pausing", "deleting"}
    wait_until(
        lambda: not any(session["status"] in changing for session in made.rows("/sessions")), "sessions still start"
    )


def launch_sessions(made: CreatedObjects, world: DemoWorld, chance: random.Random) -> dict[str, float]:
    """Launch sessions of users, and stop or pause some. Return session id → age in seconds that it should have."""
    ages_s: dict[str, float] = {}
    for user, workspace in _launches(made, world, chance):
        body = {"image_id": workspace.image_id, "user_id": user.user_id, "zone_id": made.zone_ids[zone_of(user)]}
        session_id = made.post("/sessions", body)["session_id"]
        longest_s = 10 * 3600 if "students" in user.groups else 50 * 3600
        ages_s[session_id] = round(min(120 + chance.expovariate(1 / 6000), longest_s * chance.uniform(0.7, 1)), 1)
        time.sleep(LAUNCH_SPACING_S)
    wait_for_sessions(made)
    for session_id in list(ages_s)[::8]:
        made.post(f"/sessions/{session_id}/lifecycle-commands", {"command": chance.choice(_RESTING)})
    return ages_s


def _launches(
    made: CreatedObjects, world: DemoWorld, chance: random.Random
) -> Iterator[tuple[InventedUser, InventedWorkspace]]:
    """Yield a user and a workspace for each session. Each user of `LOG_INS` has a session."""
    first = [made.users[login] for login in LOG_INS]
    others = [user for user in world.users if user not in first and "administrators" not in user.groups]
    chance.shuffle(others)
    with_several = [user for user in others if "examiners" not in user.groups]  # examiners may have one session
    users = [*first, *others, *with_several[::2]][: made.size.sessions]
    without_filter = [each for each in world.workspaces if each.key not in {"exam", "kiosk", "cad"}]
    for number, user in enumerate(users):
        choices = [each for each in world.choices(user) if each in without_filter]
        workspace = chance.choices(choices, weights=[each.weight for each in choices])[0]
        yield user, made.workspaces["desktop"] if number < len(first) else workspace


def lease_sessions(made: CreatedObjects, url: str, ca_file: str) -> dict[str, float]:
    """Lease sessions for the programs. Return session id → age in seconds."""
    ages_s: dict[str, float] = {}
    workspaces = [made.workspaces[key] for key in ("jupyter", "firefox", "code", "desktop") if key in made.workspaces]
    for number in range(made.size.leases):
        key, secret = made.program_keys[number % len(made.program_keys)]
        body = {
            "workspace": workspaces[number % len(workspaces)].name,
            "seconds": 86_400 - 3600 * number,
            "tags": {"run": f"batch-{number + 1}"},
        }
        with Greenroom(url, key, secret, ca_file, trust_env=False) as program:
            ages_s[program.request("POST", "/leases", body)["session_id"]] = 600.0 + 700 * number
    return ages_s


def share_sessions(made: CreatedObjects, log_in: Callable[[str], httpx2.Client]) -> None:
    """Let the first users with a password share their sessions. `log_in` returns a client of a user."""
    for login in LOG_INS[2:5]:
        with closing(log_in(made.users[login].username)) as client:
            sessions = client.get("/api/v1/sessions").raise_for_status().json()
            mine = [each for each in sessions if each["username"] == made.users[login].username]
            for session in [each for each in mine if each["status"] == "running"][:1]:
                client.post(
                    f"/api/v1/sessions/{session['session_id']}/shares", json={"access": "view"}
                ).raise_for_status()


def refuse_users(client: httpx2.Client, made: CreatedObjects, log_in: Callable[[str], httpx2.Client]) -> None:
    """Let log-ins with wrong passwords fail, and let a student request a page of administrators. `client` has no
    log-in."""
    for login in ("ben.carter", "hannah.weber"):
        for _ in range(2):
            body = {"username": made.users[login].username, "password": secrets.token_urlsafe(9)}
            client.post("/api/v1/login", json=body)
    with closing(log_in(made.users["noa.levi"].username)) as student:
        student.get("/api/v1/users")


def fail_launches(made: CreatedObjects, world: DemoWorld, chance: random.Random, key: str) -> int:
    """Launch a workspace that no host can run, for some students. Return the number of refused launches."""
    workspace = made.workspaces[key]
    students = [user for user in world.users if "students" in user.groups]
    refused = 0
    for user in chance.sample(students, min(4, len(students))):
        body = {"image_id": workspace.image_id, "user_id": user.user_id, "zone_id": made.zone_ids[MAIN]}
        try:
            made.post("/sessions", body)
        except GreenroomError:
            refused += 1
    return refused
