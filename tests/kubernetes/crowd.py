"""Users of Greenroom during a fault: users who launch one after the other, and one who watches."""

from __future__ import annotations

import sys
import threading
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

import httpx2
from tests.acceptance.instance import wait_for
from tests.acceptance.open_desktop import open_desktop
from tests.support.kubernetes.installation import Installation

EVERY_S: Final = 3.0
"""The time between two users."""
RUNS_WITHIN_S: Final = 90.0
FRAME_EVERY_S: Final = 0.25
ASKED_AGAIN_S: Final = 0.5
TRANSIENT: Final = frozenset({502, 503, 504})
"""A part is unavailable; the client repeats the request."""


def new_session(installation: Installation) -> str:
    """Launch a session of the workspace Desktop for a new user; returns its id."""
    name = f"u-{uuid.uuid4().hex[:10]}@example.org"
    with installation.http() as client:
        user_id = asked(client, "POST", "/users", {"username": name})["user_id"]
        image_id = next(i["image_id"] for i in asked(client, "GET", "/images") if i["friendly_name"] == "Desktop")
        session_id: str = asked(client, "POST", "/sessions", {"image_id": image_id, "user_id": user_id})["session_id"]
    return session_id


def asked(client: httpx2.Client, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """The answer. While a part is unavailable a client repeats the request with the same key, so that there is only
    one result."""
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    end = time.monotonic() + RUNS_WITHIN_S
    while True:
        try:
            answer = client.request(method, f"/api/v1{path}", json=body, headers=headers)
            if answer.status_code not in TRANSIENT or time.monotonic() > end:
                assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
                return answer.json() if answer.content else None
        except httpx2.TransportError as error:
            if time.monotonic() > end:
                raise AssertionError(f"{method} {path}: {error!r}") from error
        time.sleep(ASKED_AGAIN_S)


def runs(installation: Installation, session_id: str) -> bool:
    """True if it runs.

    Raises:
        AssertionError: it never will.
    """
    with installation.http() as client:
        session = asked(client, "GET", f"/sessions/{session_id}")
    assert session["status"] not in {"failed", "deleted", "lost"}, session
    return session["status"] == "running"


@dataclass
class Crowd:
    """The results so far."""

    launched_s: list[float] = field(default_factory=list[float])
    """For each launch the time until the session ran."""
    frames: int = 0
    problems: list[str] = field(default_factory=list[str])
    over: threading.Event = field(default_factory=threading.Event)

    def figures(self) -> str:
        """For readers of a test's output."""
        return (
            f"{len(self.launched_s)}, until they ran {median(self.launched_s or [0]):.1f} s (median),"
            f" {max(self.launched_s, default=0):.1f} s (longest); {self.frames} pictures of the open desktop"
        )

    def launch(self, installation: Installation) -> None:
        """Launch for one user after the other; each has a session that ends when it runs."""
        while not self.over.is_set():
            begun = time.monotonic()
            try:
                session_id = new_session(installation)
                wait_for(lambda: runs(installation, session_id), "the session runs", RUNS_WITHIN_S)  # noqa: B023
                self.launched_s.append(time.monotonic() - begun)
                with installation.http() as client:
                    asked(client, "DELETE", f"/sessions/{session_id}")
            except Exception as error:  # noqa: BLE001 -- each is what the test is about
                self.problems.append(f"launch {len(self.launched_s)}: {error!r}")
            self.over.wait(max(0.0, begun + EVERY_S - time.monotonic()))

    def watch(self, installation: Installation, session_id: str) -> None:
        """View one desktop through one connection, all the time."""
        try:
            with open_desktop(installation, session_id) as desktop:
                while not self.over.is_set():
                    assert desktop.goes_on()
                    self.frames += 1
                    self.over.wait(FRAME_EVERY_S)
        except Exception as error:  # noqa: BLE001 -- as above
            self.problems.append(f"the stream after {self.frames} pictures: {error!r}")


@contextmanager
def watched(installation: Installation, session_id: str) -> Generator[Crowd]:
    """View this session's desktop during the block, over one connection that lasts until the end."""
    crowd = Crowd()
    thread = threading.Thread(target=crowd.watch, args=(installation, session_id))
    thread.start()
    try:
        wait_for(lambda: crowd.problems or crowd.frames, "the desktop is open", RUNS_WITHIN_S)
        yield crowd
    finally:
        crowd.over.set()
        thread.join()
    assert crowd.problems == [], f"{crowd}{installation.state()}"


@contextmanager
def busy(installation: Installation, session_id: str) -> Generator[None]:
    """Let users launch, and one user view this session, during the block; at the end there must be no errors."""
    crowd = Crowd()
    threads = [
        threading.Thread(target=crowd.launch, args=(installation,)),
        threading.Thread(target=crowd.watch, args=(installation, session_id)),
    ]
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: crowd.problems or (crowd.frames and crowd.launched_s), "it is busy", RUNS_WITHIN_S)
        yield
        before = len(crowd.launched_s), crowd.frames
        wait_for(
            lambda: crowd.problems or (len(crowd.launched_s) > before[0] and crowd.frames > before[1]),
            "it goes on",
            RUNS_WITHIN_S,
        )
    finally:
        crowd.over.set()
        for thread in threads:
            thread.join()
    sys.stdout.write(f"launches meanwhile: {crowd.figures()}\n")
    assert crowd.problems == [], f"{crowd}{installation.state()}"
