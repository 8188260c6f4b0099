"""A client with a low cost, because it shares the cores with Greenroom, which is measured.

A request still costs the client about a quarter of a millisecond, which is part of every figure through HTTP.
"""

from __future__ import annotations

import http.client
import json
import ssl
import time
from base64 import b64encode
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from bench.instance import Instance

Result = TypeVar("Result")


class Events:
    """The stream of events, which every page of the console opens: a client that waits rarely has to poll."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response
        self._response.readline()  # it is connected: no event is missed from here on

    def wait_for(self, subject: str, check: Callable[[], Result], timeout_s: float = 120) -> Result:
        """Return the first true value of `check()`, called now and after each event about `subject`, a session or
        staging config, or about all objects of a kind.

        Raises:
            TimeoutError: there was none in time; noticed 15 s later at most, when the stream shows life.
            RuntimeError: the stream has ended.
        """
        deadline_s = time.monotonic() + timeout_s
        while not (result := check()):
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"{subject} did not get there in time")
            self._await_change(subject)
        return result

    def _await_change(self, subject: str) -> None:
        while line := self._response.readline():
            if subject.encode() in line or b'"id": ""' in line or line.startswith(b": alive"):
                return
        raise RuntimeError("the stream of events has ended")


class ApiConnection:
    """A persistent connection to the gateway or to `netloc`, with a key that has every permission. For one thread at
    a time."""

    def __init__(self, instance: Instance, netloc: str = "") -> None:
        url = urlsplit(f"https://{netloc}" if netloc else instance.facts["url"])
        secret = f"{instance.facts['api_key']}:{instance.facts['api_key_secret']}".encode()
        self._headers = {"Authorization": f"Basic {b64encode(secret).decode()}", "Content-Type": "application/json"}
        self.context = ssl.create_default_context(cafile=instance.facts["ca_file"])
        self._connection = http.client.HTTPSConnection(url.hostname or "", url.port, context=self.context, timeout=30)
        self._connection.connect()

    def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Send a request and return the JSON of the answer.

        Raises:
            RuntimeError: Greenroom refused.
        """
        self._connection.request(
            method, f"/api/v1{path}", None if body is None else json.dumps(body).encode(), self._headers
        )
        response = self._connection.getresponse()
        content = response.read()
        if response.status >= 300:
            raise RuntimeError(f"{method} {path}: {response.status} {content.decode()}")
        return json.loads(content)

    def fetch_cookie(self, path: str) -> str:
        """The cookie that a page receives when it is opened like a browser's frame."""
        self._connection.request("GET", path, headers={"Sec-Fetch-Dest": "iframe"})
        response = self._connection.getresponse()
        response.read()
        return (response.getheader("set-cookie") or "").split(";")[0]

    def events(self) -> Events:
        """The events from now on; the line cannot be used for other requests."""
        self._connection.request("GET", "/api/v1/events", headers=self._headers)
        return Events(self._connection.getresponse())

    def launch(self, image_id: str, user_id: str) -> dict[str, Any]:
        """Launch a staged session for this user.

        Raises:
            RuntimeError: Greenroom refused, or the session is not a staged one.
        """
        session = self.request("POST", "/sessions", {"image_id": image_id, "user_id": user_id})
        if not session["staged"]:
            raise RuntimeError("the pool was empty")
        return session
