"""The API server of one cluster, for one namespace: lightkube's client, with additions."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar, cast

import httpx2
import msgspec
from httpx2.websockets import AsyncWebSocketSession, WebSocketNetworkError
from lightkube import AsyncClient
from lightkube.config import client_adapter
from lightkube.config.client_adapter import ConnectionParams, ExecAuth
from lightkube.core.exceptions import ApiError, ConfigError
from lightkube.core.resource import GlobalResource, NamespacedResource, api_info
from lightkube.models.meta_v1 import ObjectMeta, Status
from lightkube.resources.core_v1 import Pod
from lightkube.types import PatchType
from wsproto.utilities import LocalProtocolError

from greenroom.runtimes.contract import RuntimeUnavailable
from greenroom.runtimes.kubernetes.errors import NOT_FOUND, code_of, innermost, log_in_failed, translated
from greenroom.runtimes.kubernetes.log_in import LogInProgram
from greenroom.runtimes.kubernetes.names import CONTAINER
from greenroom.runtimes.kubernetes.settings import KubernetesSettings
from greenroom.runtimes.kubernetes.where import loaded

CALL_TIMEOUT_S: Final = 10.0
FIELD_MANAGER: Final = "greenroom"
EXEC_PROTOCOL: Final = "v4.channel.k8s.io"
WATCHED_FOR_S: Final = 60
"""The server ends a watch after this time, and the watch is repeated. A dead connection therefore cannot look like a
quiet one."""
LATE_S: Final = 10.0
"""A watch that received nothing for this much longer is dead."""

Kind = TypeVar("Kind", bound=NamespacedResource)
GlobalKind = TypeVar("GlobalKind", bound=GlobalResource)
Json = dict[str, Any]
"""JSON of Kubernetes for which the client has no type."""


class Cluster:
    """Calls of the API server. Every call raises `RuntimeUnavailable` if the server does not answer, or does not permit
    it."""

    def __init__(
        self,
        where: KubernetesSettings,
        timeout_s: float = CALL_TIMEOUT_S,
        fence: Callable[[], None] = lambda: None,
    ) -> None:
        """`fence` is called before each change: it raises `RuntimeUnavailable` while another process acts.

        Raises:
            SetupError: the settings or the kubeconfig cannot be used.
        """
        self._fence = fence
        self._config = loaded(where)
        self.namespace = self._config.namespace
        self.server: str = self._config.cluster.server
        self._timeout_s = timeout_s
        self._typed: AsyncClient | None = None
        self._plain: httpx2.AsyncClient | None = None

    async def open(self) -> None:
        """Connect; nothing is sent.

        Raises:
            RuntimeUnavailable: a certificate or key of the kubeconfig cannot be read.
        """
        if self._typed is not None:
            return
        timeout = httpx2.Timeout(self._timeout_s)
        try:
            plain = client_adapter.AsyncClient(self._config, ConnectionParams(timeout=timeout))
            typed = AsyncClient(self._config, namespace=self.namespace, timeout=timeout, field_manager=FIELD_MANAGER)
        except (OSError, ValueError) as error:
            raise RuntimeUnavailable(f"The certificates for Kubernetes cannot be used: {error}.") from error
        user = self._config.user
        if user is not None and user.exec is not None and isinstance(plain.auth, ExecAuth):
            log_in = LogInProgram(user.exec)
            plain.auth = cast("Any", typed)._client._client.auth = log_in  # noqa: SLF001 -- no argument for it
        self._plain, self._typed = plain, typed

    async def close(self) -> None:
        if self._typed is not None:
            await self._typed.close()
        if self._plain is not None:
            await self._plain.aclose()
        self._typed = self._plain = None

    @property
    def _client(self) -> Any:
        """The client without types: lightkube has only partial ones."""
        if self._typed is None:
            raise RuntimeUnavailable("The runtime is not open.")
        return self._typed

    @property
    def _http(self) -> httpx2.AsyncClient:
        if self._plain is None:
            raise RuntimeUnavailable("The runtime is not open.")
        return self._plain

    # Objects ------------------------------------------------------------------------------------------------------

    async def get(self, kind: type[Kind], name: str) -> Kind | None:
        """Return the object with this name, or None."""
        async with translated(asks=True):
            try:
                return await self._client.get(kind, name)
            except httpx2.HTTPStatusError as error:
                if code_of(error) == NOT_FOUND:
                    return None
                raise

    async def list(self, kind: type[Kind], labels: Mapping[str, str] | None = None) -> tuple[list[Kind], str]:
        """All objects with these labels, and the version from which a watch continues."""
        async with translated(asks=True):
            listing = self._client.list(kind, labels=dict(labels or {}), chunk_size=500)
            found: list[Kind] = [one async for one in listing]
            return found, str(listing.resourceVersion)

    async def list_global(self, kind: type[GlobalKind], labels: Mapping[str, str] | None = None) -> list[GlobalKind]:
        """All objects of a cluster-wide kind."""
        async with translated(asks=True):
            return [one async for one in self._client.list(kind, labels=dict(labels or {}), chunk_size=500)]

    async def list_fields(self, kind: type[Kind], fields: Mapping[str, str]) -> list[Kind]:
        """All objects whose fields have these values."""
        async with translated(asks=True):
            return [one async for one in self._client.list(kind, fields=dict(fields), chunk_size=500)]

    async def create(self, thing: Kind) -> Kind:
        """Raises:
        ContainerConflict: an object with this name exists.
        StartError: the server refuses it.
        """
        self._fence()
        async with translated():
            return await self._client.create(thing)

    async def replace(self, thing: Kind) -> Kind:
        """Replace the object, if it still has the `resourceVersion` of `thing`.

        Raises:
            ContainerConflict: it has changed since it was read.
            ContainerMissing: it does not exist any more.
        """
        self._fence()
        async with translated():
            return await self._client.replace(thing)

    async def patch(self, kind: type[Kind], name: str, changes: Json) -> Kind:
        """Merge changes into an object; null removes a key. With `metadata.resourceVersion` in it, fails like
        `replace`.

        Raises:
            ContainerMissing: it does not exist any more.
        """
        self._fence()
        async with translated():
            return await self._client.patch(kind, name, changes, patch_type=PatchType.MERGE)

    async def delete(self, kind: type[Kind], name: str, uid: str | None = None, grace_s: int | None = None) -> bool:
        """Delete an object, with `uid` only that very object; False = it was already deleted, or is another object.

        Raises:
            StartError: the server refuses it.
        """
        body: Json = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        if grace_s is not None:
            body["gracePeriodSeconds"] = grace_s
        self._fence()
        async with translated():
            answer = await self._http.request("DELETE", self._path(kind, name), json=body)
            if answer.status_code == NOT_FOUND or _is_another(answer):
                return False
            _raise_for(answer)
        return True

    async def watch(
        self,
        kind: type[Kind],
        labels: Mapping[str, str] | None = None,
        version: str | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[tuple[str, Kind]]:
        """(ADDED, MODIFIED, DELETED or BOOKMARK, object) since this version. It ends after `WATCHED_FOR_S`; the caller
        then continues from the version of the last object. A bookmark has only a version.

        Raises:
            ApiGone: that version is too old.
        """
        async with translated(asks=True):
            path = self._path(kind, "").rstrip("/")
            params: dict[str, str | int] = {
                "watch": "true",
                "timeoutSeconds": WATCHED_FOR_S,
                "allowWatchBookmarks": "true",
            }
            if labels:
                params["labelSelector"] = ",".join(f"{name}={value}" for name, value in labels.items())
            if fields:
                params["fieldSelector"] = ",".join(f"{name}={value}" for name, value in fields.items())
            if version:
                params["resourceVersion"] = version
            limits = httpx2.Timeout(self._timeout_s, read=WATCHED_FOR_S + LATE_S)
            async with self._http.stream("GET", path, params=params, timeout=limits) as answer:
                if not answer.is_success:
                    await answer.aread()
                    _raise_for(answer)
                async for line in answer.aiter_lines():
                    change = msgspec.json.decode(line, type=_Change)
                    if change.type == "ERROR":
                        raise ApiError(status=msgspec.json.decode(change.object, type=Status))
                    yield change.type, _decoded(change, kind)

    def _path(self, kind: type[NamespacedResource], name: str, part: str = "") -> str:
        of = api_info(kind)
        group = f"apis/{of.resource.group}" if of.resource.group else "api"
        path = f"{group}/{of.resource.version}/namespaces/{self.namespace}/{of.plural}/{name}"
        return f"{path}/{part}" if part else path

    # Calls without an object --------------------------------------------------------------------------------------

    async def ask(self, path: str, body: object = None) -> Json:
        """Return the answer to a GET, or with a body to a POST."""
        async with translated(asks=True):
            method = "GET" if body is None else "POST"
            content = None if body is None else msgspec.json.encode(body)
            headers = {"Content-Type": "application/json"} if content else None
            answer = await self._http.request(method, path, content=content, headers=headers)
            _raise_for(answer)
            return msgspec.json.decode(answer.content, type=Json)

    async def logs(self, pod: str, lines: int, timeout_s: float, container: str = CONTAINER) -> str:
        """The end of a Pod's output. The request names one container, because the cluster may add others to the Pod.

        Raises:
            ContainerMissing: there is no such Pod.
        """
        async with translated(asks=True):
            path = f"api/v1/namespaces/{self.namespace}/pods/{pod}/log"
            answer = await self._http.get(path, params={"container": container, "tailLines": lines}, timeout=timeout_s)
            _raise_for(answer)
            return answer.text

    async def follow_logs(self, pod: str, container: str, since: str | None) -> AsyncGenerator[tuple[str, str]]:
        """Yield the lines that a Pod's container writes, each with its time: from now on, or after the time `since`.
        The stream ends with the container, and after `WATCHED_FOR_S` without a line; the caller then continues from the
        time of the last line.

        Raises:
            ContainerMissing: there is no such Pod.
        """
        params: dict[str, str | int] = {"container": container, "follow": "true", "timestamps": "true"}
        params |= {"tailLines": 0} if since is None else {"sinceTime": since}
        limits = httpx2.Timeout(self._timeout_s, read=WATCHED_FOR_S)
        async with translated(asks=True):
            try:
                async with self._http.stream(
                    "GET", f"{self._path(Pod, pod)}/log", params=params, timeout=limits
                ) as answer:
                    if not answer.is_success:
                        await answer.aread()
                        _raise_for(answer)
                    async for line in answer.aiter_lines():
                        at, _, text = line.partition(" ")
                        if since is None or at > since:
                            yield at, text
            except httpx2.ReadTimeout:
                return

    @asynccontextmanager
    async def exec(
        self, pod: str, container: str, argv: Sequence[str], *, stdin: bool = False
    ) -> AsyncGenerator[AsyncWebSocketSession]:
        """Open a connection to a command in a Pod. `argv` is in the URL, which servers log: no secrets.

        Raises:
            httpx2.websockets.WebSocketUpgradeError: the server refuses; the response contains the reason.
            httpx2.websockets.WebSocketDisconnect, WebSocketNetworkError: the connection was closed, or lost.
        """
        self._fence()
        path = f"api/v1/namespaces/{self.namespace}/pods/{pod}/exec"
        flags = {"container": container, "stdout": "true", "stderr": "true", "stdin": "true" if stdin else "false"}
        params: list[tuple[str, str | int | float | bool | None]] = [*flags.items()]
        params += [("command", part) for part in argv]
        url = self._http.base_url.join(path).copy_merge_params(params)
        try:
            async with self._http.websocket(
                str(url), subprotocols=[EXEC_PROTOCOL], keepalive_ping_interval_seconds=None
            ) as connection:
                yield connection
        except ConfigError as error:
            raise RuntimeUnavailable(log_in_failed(error)) from error
        except BaseExceptionGroup as group:  # the client wraps all errors raised here, also those of the caller
            error = innermost(group)
            if isinstance(error, LocalProtocolError):  # after a close; its text contains the unsent message
                error = WebSocketNetworkError()
            raise error from None


def _raise_for(answer: httpx2.Response) -> None:
    if answer.is_success:
        return
    try:
        said = str(msgspec.json.decode(answer.content, type=Json).get("message") or answer.reason_phrase)
    except msgspec.DecodeError:
        said = f"{answer.status_code} {answer.reason_phrase}"
    raise httpx2.HTTPStatusError(said, request=answer.request, response=answer)


def _is_another(answer: httpx2.Response) -> bool:
    """Return True if a precondition failed: the name belongs to a later object."""
    return answer.status_code == 409 and b"recondition" in answer.content


def _decoded(change: _Change, kind: type[Kind]) -> Kind:
    """Decode an object. Of a bookmark only the metadata is decoded: the rest is empty, also required fields."""
    if change.type != "BOOKMARK":
        return msgspec.json.decode(change.object, type=kind)
    return kind(metadata=msgspec.json.decode(change.object, type=_Bookmark).metadata)  # pyright: ignore[reportCallIssue]


class _Bookmark(msgspec.Struct):
    metadata: ObjectMeta


class _Change(msgspec.Struct):
    """One line of a watch."""

    type: str
    object: msgspec.Raw
