# Written by script/generate_client.py from asynchronous.py: change that file, and run script/lint --fix.
"""The client for programs without asyncio."""

from __future__ import annotations

import ssl
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import httpx

from greenroom.client import recordings as recorded
from greenroom.client import scripts
from greenroom.client import secrets as kept
from greenroom.client.events import Event, EventReader, Reconnects, interrupted, listening
from greenroom.client.models import Egress, Lease, LeaseUrls, Mode, RecordedRow, Recording, Secret, Tags
from greenroom.client.recordings import whole_file
from greenroom.client.retries import Retries
from greenroom.client.scripts import LeaseWish, Script, Send, T, Wait, connection_options, required_urls
from greenroom.client.secrets import SecretChange
from greenroom.client.synchronous_hands import Hands
from greenroom.client.synchronous_inside import Inside
from greenroom.shared.errors import Interrupted

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from Python 3.11 on


class Greenroom:
    """A deployment, used with an API key; a context manager. `ca_file` has the authority of its certificate where that
    is not one of the system's. A `transport` of one's own takes the place of the network.
    """

    def __init__(
        self,
        url: str,
        key: str,
        secret: str,
        ca_file: Path | str | None = None,
        *,
        retries: Retries | None = None,
        tls: ssl.SSLContext | None = None,
        trust_env: bool = True,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.retries = retries or Retries()
        options = connection_options(url, key, secret, ca_file, tls, trust_env=trust_env)
        self._http = httpx.Client(**options, transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End its connections."""
        self._http.close()

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        query: Mapping[str, Any] | None = None,
        *,
        timeout_s: float = scripts.TIMEOUT_S,
    ) -> Any:
        """The JSON that a route of `/api/v1` answers; `path` is from there on, such as `/sessions`.

        Raises:
            GreenroomError: the server refused it, or does not answer.
        """
        send = Send(method=method, path=scripts.PREFIX + path, body=body, query=query or {}, timeout_s=timeout_s)
        return self.run(scripts.json_of(send, self.retries))

    def rows(self, path: str, query: Mapping[str, Any] | None = None, limit: int | None = None) -> list[dict[str, Any]]:
        """All rows of a list, or the first `limit`. Raises as `request`."""
        return self.run(scripts.rows(scripts.PREFIX + path, query or {}, self.retries, limit))

    def download(self, path: str, query: Mapping[str, Any] | None = None) -> bytes:
        """What a route of `/api/v1` answers, such as a picture. Raises as `request`."""
        send = Send(method="GET", path=scripts.PREFIX + path, query=query or {})
        return self.run(scripts.content_of(send, self.retries))

    def events(self, last: int = 0) -> Generator[Event]:
        """What changes, as it happens, without end; the last ones first. A lost connection is opened again.

        Raises:
            GreenroomError: the server refused it, or does not answer; no connection lasts (`Interrupted`).
        """
        lines, reconnects, again = EventReader(), Reconnects(self.retries), False
        while True:
            lost: Interrupted | None = None
            try:
                with self.listen(last, again=again) as said:
                    for line in said:
                        if (event := lines.take(line)) is not None:
                            reconnects.received()
                            yield event
            except Interrupted as error:
                lost = error
            time.sleep(reconnects.lost(lost))
            again = True

    def recent_events(self, most: int = 100) -> list[Event]:
        """The last events, oldest first; the server remembers some hundreds. Raises as `request`."""
        lines, found = EventReader(), list[Event]()
        with self.listen(most) as said:
            for line in said:
                if line.startswith(":"):
                    break
                if (event := lines.take(line)) is not None:
                    found.append(event)
        return found

    @contextmanager
    def listen(self, last: int = 0, *, again: bool = False) -> Generator[Iterator[str]]:
        """The lines of one connection to the events, as the server sends them. Raises as `events`."""
        answer = self.run(scripts.answered(listening(last, again=again), self.retries))
        try:
            yield answer.iter_lines()
        except httpx.HTTPError as error:
            raise interrupted(error) from error
        finally:
            answer.close()

    def lease(
        self,
        workspace: str,
        seconds: int = 600,
        *,
        user_id: str | None = None,
        options: Mapping[str, Any] | None = None,
        egress: Egress | None = None,
        secrets: Sequence[str] = (),
        tags: Tags | None = None,
        record: Mode = "none",
        record_text: bool = False,
        ready_within_s: float = 120.0,
        wait_s: float = 0.0,
    ) -> Desk:
        """Lease a workspace, by its name or id, and wait until its session runs. The lease ends with the `with` block,
        by `release`, or at its deadline. While a limit is reached it waits up to `wait_s` (at most 60) for others to
        end.

        Raises:
            GreenroomError: there is none now (`NoResources`), the user or the API key has too many (`LeaseLimit`), …
        """
        wish = LeaseWish(
            workspace=workspace,
            seconds=seconds,
            user_id=user_id,
            options=options,
            egress=egress,
            secrets=secrets,
            tags=tags,
            record=record,
            record_text=record_text,
            ready_within_s=ready_within_s,
            wait_s=wait_s,
        )
        return Desk(self, self.run(scripts.lease(wish, self.retries)))

    def leases(self, tag: str | None = None) -> list[Lease]:
        """The leases that the caller may see, newest first; `tag` is a word, or `name=word`."""
        return self.run(scripts.leases(tag, self.retries))

    def secrets(self) -> list[Secret]:
        """The secrets that the caller may see, by name, without their values."""
        return self.run(kept.secrets(self.retries))

    def create_secret(
        self,
        name: str,
        hosts: Sequence[str],
        value: str,
        *,
        header: str | None = None,
        template: str | None = None,
        description: str | None = None,
    ) -> Secret:
        """Keep a secret that web filters add to requests to `hosts`, as `Authorization: Bearer …` if nothing is said.

        Raises:
            GreenroomError: there is one of this name (`Duplicate`), it cannot be in a header (`Invalid`), …
        """
        wish = SecretChange(
            name=name, hosts=hosts, value=value, header=header, template=template, description=description
        )
        return self.run(kept.created(wish, self.retries))

    def change_secret(
        self,
        secret_id: str,
        *,
        value: str | None = None,
        hosts: Sequence[str] | None = None,
        header: str | None = None,
        template: str | None = None,
        description: str | None = None,
    ) -> Secret:
        """Replace the value or other fields of a secret; running leases have the change within seconds."""
        wish = SecretChange(value=value, hosts=hosts, header=header, template=template, description=description)
        return self.run(kept.changed(secret_id, wish, self.retries))

    def delete_secret(self, secret_id: str) -> None:
        """Delete a secret, also for running leases; doing so again is a success."""
        self.run(kept.deleted(secret_id, self.retries))

    def recordings(self, session_id: str | None = None) -> list[Recording]:
        """The recordings that the caller may see, newest first; also of leases that are over."""
        return self.run(recorded.recordings(session_id, self.retries))

    def recording(self, lease_id: str) -> Recording:
        """The recording of a lease. Raises NotFound: it has none."""
        return self.run(recorded.recording(lease_id, self.retries))

    def recorded_rows(self, lease_id: str) -> list[RecordedRow]:
        """What was done with a lease, in its order."""
        return self.run(recorded.recorded_rows(lease_id, self.retries))

    def recorded_picture(self, lease_id: str, number: int) -> bytes:
        """The picture of a row, a PNG."""
        return self.download(recorded.picture_path(lease_id, number))

    def export_recording(self, lease_id: str, file: Path | str) -> None:
        """Write a recording to a file, a ZIP; what it had before is replaced once the new one is whole."""
        answer = self.run(scripts.answered(recorded.export_send(lease_id), self.retries))
        try:
            with whole_file(file) as written:
                for piece in answer.iter_bytes():
                    written.write(piece)
        except httpx.HTTPError as error:
            raise interrupted(error) from error
        finally:
            answer.close()

    def delete_recording(self, lease_id: str) -> None:
        """Delete the recording of a lease that is over; doing so again is a success."""
        self.run(recorded.deleted(lease_id, self.retries))

    def run(self, script: Script[T]) -> T:
        """Carry out a script."""
        try:
            step = next(script)
            while True:
                try:
                    outcome = self._done(step)
                except BaseException as error:  # noqa: BLE001, PERF203 -- the script raises it again, after what it began
                    step = script.throw(error)
                else:
                    step = script.send(outcome)
        except StopIteration as end:
            return end.value

    def _done(self, step: Send | Wait) -> httpx.Response | httpx.HTTPError | None:
        if isinstance(step, Wait):
            time.sleep(step.seconds)
            return None
        try:
            answer = self._http.send(self._http.build_request(**step.options), stream=step.is_streamed)
            if not answer.is_success:
                answer.read()
            return answer
        except httpx.HTTPError as error:
            return error


class Desk(Inside, Hands):
    """A leased session; a context manager that releases it."""

    def __init__(self, greenroom: Greenroom, lease: Lease) -> None:
        super().__init__(greenroom, lease.lease_id)
        self.lease = lease

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    @property
    def urls(self) -> LeaseUrls:
        return required_urls(self.lease)

    def extend(self, seconds: int) -> None:
        """Move the deadline to so many seconds from now."""
        self.lease = self._greenroom.run(scripts.extended(self.lease, seconds, self._greenroom.retries))

    def release(self) -> None:
        """End the lease: the session is destroyed. Doing so again is a success."""
        self._greenroom.run(scripts.release(self.lease.lease_id, self._greenroom.retries))
