"""The client for programs with asyncio."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import httpx

from greenroom.client import recordings as recorded
from greenroom.client import scripts
from greenroom.client import secrets as kept
from greenroom.client.asynchronous_hands import AsyncHands
from greenroom.client.asynchronous_inside import AsyncInside
from greenroom.client.events import Event, EventReader, Reconnects, interrupted, listening
from greenroom.client.models import Egress, Lease, LeaseUrls, Mode, RecordedRow, Recording, Secret, Tags
from greenroom.client.recordings import whole_file
from greenroom.client.retries import Retries
from greenroom.client.scripts import LeaseWish, Script, Send, T, Wait, connection_options, required_urls
from greenroom.client.secrets import SecretChange
from greenroom.shared.errors import Interrupted

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from Python 3.11 on


class AsyncGreenroom:
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
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.retries = retries or Retries()
        options = connection_options(url, key, secret, ca_file, tls, trust_env=trust_env)
        self._http = httpx.AsyncClient(**options, transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End its connections."""
        await self._http.aclose()

    async def request(
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
        return await self.run(scripts.json_of(send, self.retries))

    async def rows(
        self, path: str, query: Mapping[str, Any] | None = None, limit: int | None = None
    ) -> list[dict[str, Any]]:
        """All rows of a list, or the first `limit`. Raises as `request`."""
        return await self.run(scripts.rows(scripts.PREFIX + path, query or {}, self.retries, limit))

    async def download(self, path: str, query: Mapping[str, Any] | None = None) -> bytes:
        """What a route of `/api/v1` answers, such as a picture. Raises as `request`."""
        send = Send(method="GET", path=scripts.PREFIX + path, query=query or {})
        return await self.run(scripts.content_of(send, self.retries))

    async def events(self, last: int = 0) -> AsyncGenerator[Event]:
        """What changes, as it happens, without end; the last ones first. A lost connection is opened again.

        Raises:
            GreenroomError: the server refused it, or does not answer; no connection lasts (`Interrupted`).
        """
        lines, reconnects, again = EventReader(), Reconnects(self.retries), False
        while True:
            lost: Interrupted | None = None
            try:
                async with self.listen(last, again=again) as said:
                    async for line in said:
                        if (event := lines.take(line)) is not None:
                            reconnects.received()
                            yield event
            except Interrupted as error:
                lost = error
            await asyncio.sleep(reconnects.lost(lost))
            again = True

    async def recent_events(self, most: int = 100) -> list[Event]:
        """The last events, oldest first; the server remembers some hundreds. Raises as `request`."""
        lines, found = EventReader(), list[Event]()
        async with self.listen(most) as said:
            async for line in said:
                if line.startswith(":"):
                    break
                if (event := lines.take(line)) is not None:
                    found.append(event)
        return found

    @asynccontextmanager
    async def listen(self, last: int = 0, *, again: bool = False) -> AsyncGenerator[AsyncIterator[str]]:
        """The lines of one connection to the events, as the server sends them. Raises as `events`."""
        answer = await self.run(scripts.answered(listening(last, again=again), self.retries))
        try:
            yield answer.aiter_lines()
        except httpx.HTTPError as error:
            raise interrupted(error) from error
        finally:
            await answer.aclose()

    async def lease(
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
    ) -> AsyncDesk:
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
        return AsyncDesk(self, await self.run(scripts.lease(wish, self.retries)))

    async def leases(self, tag: str | None = None) -> list[Lease]:
        """The leases that the caller may see, newest first; `tag` is a word, or `name=word`."""
        return await self.run(scripts.leases(tag, self.retries))

    async def secrets(self) -> list[Secret]:
        """The secrets that the caller may see, by name, without their values."""
        return await self.run(kept.secrets(self.retries))

    async def create_secret(
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
        return await self.run(kept.created(wish, self.retries))

    async def change_secret(
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
        return await self.run(kept.changed(secret_id, wish, self.retries))

    async def delete_secret(self, secret_id: str) -> None:
        """Delete a secret, also for running leases; doing so again is a success."""
        await self.run(kept.deleted(secret_id, self.retries))

    async def recordings(self, session_id: str | None = None) -> list[Recording]:
        """The recordings that the caller may see, newest first; also of leases that are over."""
        return await self.run(recorded.recordings(session_id, self.retries))

    async def recording(self, lease_id: str) -> Recording:
        """The recording of a lease. Raises NotFound: it has none."""
        return await self.run(recorded.recording(lease_id, self.retries))

    async def recorded_rows(self, lease_id: str) -> list[RecordedRow]:
        """What was done with a lease, in its order."""
        return await self.run(recorded.recorded_rows(lease_id, self.retries))

    async def recorded_picture(self, lease_id: str, number: int) -> bytes:
        """The picture of a row, a PNG."""
        return await self.download(recorded.picture_path(lease_id, number))

    async def export_recording(self, lease_id: str, file: Path | str) -> None:
        """Write a recording to a file, a ZIP; what it had before is replaced once the new one is whole."""
        answer = await self.run(scripts.answered(recorded.export_send(lease_id), self.retries))
        try:
            with whole_file(file) as written:
                async for piece in answer.aiter_bytes():
                    written.write(piece)
        except httpx.HTTPError as error:
            raise interrupted(error) from error
        finally:
            await answer.aclose()

    async def delete_recording(self, lease_id: str) -> None:
        """Delete the recording of a lease that is over; doing so again is a success."""
        await self.run(recorded.deleted(lease_id, self.retries))

    async def run(self, script: Script[T]) -> T:
        """Carry out a script."""
        try:
            step = next(script)
            while True:
                try:
                    outcome = await self._done(step)
                except BaseException as error:  # noqa: BLE001, PERF203 -- the script raises it again, after what it began
                    step = script.throw(error)
                else:
                    step = script.send(outcome)
        except StopIteration as end:
            return end.value

    async def _done(self, step: Send | Wait) -> httpx.Response | httpx.HTTPError | None:
        if isinstance(step, Wait):
            await asyncio.sleep(step.seconds)
            return None
        try:
            answer = await self._http.send(self._http.build_request(**step.options), stream=step.is_streamed)
            if not answer.is_success:
                await answer.aread()
            return answer
        except httpx.HTTPError as error:
            return error


class AsyncDesk(AsyncInside, AsyncHands):
    """A leased session; a context manager that releases it."""

    def __init__(self, greenroom: AsyncGreenroom, lease: Lease) -> None:
        super().__init__(greenroom, lease.lease_id)
        self.lease = lease

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.release()

    @property
    def urls(self) -> LeaseUrls:
        return required_urls(self.lease)

    async def extend(self, seconds: int) -> None:
        """Move the deadline to so many seconds from now."""
        self.lease = await self._greenroom.run(scripts.extended(self.lease, seconds, self._greenroom.retries))

    async def release(self) -> None:
        """End the lease: the session is destroyed. Doing so again is a success."""
        await self._greenroom.run(scripts.release(self.lease.lease_id, self._greenroom.retries))
