"""The requests to the API server of a cluster for one namespace. They extend the client of lightkube."""

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
from greenroom.runtimes.kubernetes.errors import NOT_FOUND, code_of, first_error, log_in_error, translated
from greenroom.runtimes.kubernetes.kubeconfig import load_config
from greenroom.runtimes.kubernetes.log_in import LogInProgram
from greenroom.runtimes.kubernetes.names import CONTAINER
from greenroom.runtimes.kubernetes.settings import KubernetesSettings

CALL_TIMEOUT_S: Final = 10.0
FIELD_MANAGER: Final = "greenroom"
EXEC_PROTOCOL: Final = "v4.channel.k8s.io"
WATCH_S: Final = 60
"""The time after which the server ends a watch, and the caller begins another one. Thus a lost connection is detected
even if no object changes."""
WATCH_MARGIN_S: Final = 10.0
"""The additional time after which a watch without data counts as lost."""

Kind = TypeVar("Kind", bound=NamespacedResource)
GlobalKind = TypeVar("GlobalKind", bound=GlobalResource)
Json = dict[str, Any]
"""JSON of Kubernetes for which the client has no type."""


class Cluster:
    """Requests to the API server. Each raises `RuntimeUnavailable` if the server does not answer or does not permit the
    request.
    """

    def __init__(
        self,
        settings: KubernetesSettings,
        timeout_s: float = CALL_TIMEOUT_S,
        fence: Callable[[], None] = lambda: None,
    ) -> None:
        """`fence` is called before each change. It raises `RuntimeUnavailable` while another Agent replica acts.

        Raises:
            SetupError: the settings or the kubeconfig cannot be used.
        """
        self._fence = fence
        self._config = load_config(settings)
        self.namespace = self._config.namespace
        self.server: str = self._config.cluster.server
        self._timeout_s = timeout_s
        self._lightkube: AsyncClient | None = None
        self._http_client: httpx2.AsyncClient | None = None

    async def open(self) -> None:
        """Create the HTTP clients. No request is sent.

        Raises:
            RuntimeUnavailable: a certificate or key of the kubeconfig cannot be read.
        """
        if self._lightkube is not None:
            return
        timeout = httpx2.Timeout(self._timeout_s)
        try:
            http_client = client_adapter.AsyncClient(self._config, ConnectionParams(timeout=timeout))
            lightkube = AsyncClient(
                self._config, namespace=self.namespace, timeout=timeout, field_manager=FIELD_MANAGER
            )
        except (OSError, ValueError) as error:
            raise RuntimeUnavailable(f"The certificates for Kubernetes cannot be used: {error}.") from error
        user = self._config.user
        if user is not None and user.exec is not None and isinstance(http_client.auth, ExecAuth):
            log_in = LogInProgram(user.exec)
            http_client.auth = cast("Any", lightkube)._client._client.auth = log_in  # noqa: SLF001 -- no argument for it
        self._http_client, self._lightkube = http_client, lightkube

    async def close(self) -> None:
        if self._lightkube is not None:
            await self._lightkube.close()
        if self._http_client is not None:
            await self._http_client.aclose()
        self._lightkube = self._http_client = None

    @property
    def _client(self) -> Any:
        """The client. It has the type Any, because the types of lightkube are incomplete."""
        if self._lightkube is None:
            raise RuntimeUnavailable("The runtime is not open.")
        return self._lightkube

    @property
    def _http(self) -> httpx2.AsyncClient:
        if self._http_client is None:
            raise RuntimeUnavailable("The runtime is not open.")
        return self._http_client

    # Objects ------------------------------------------------------------------------------------------------------

    async def get(self, kind: type[Kind], name: str) -> Kind | None:
        """Return the object with this name, or None."""
        async with translated(read_only=True):
            try:
                return await self._client.get(kind, name)
            except httpx2.HTTPStatusError as error:
                if code_of(error) == NOT_FOUND:
                    return None
                raise

    async def list(self, kind: type[Kind], labels: Mapping[str, str] | None = None) -> tuple[list[Kind], str]:
        """Return all objects with these labels, and the version from which a watch continues."""
        async with translated(read_only=True):
            listing = self._client.list(kind, labels=dict(labels or {}), chunk_size=500)
            items: list[Kind] = [item async for item in listing]
            return items, str(listing.resourceVersion)

    async def list_global(self, kind: type[GlobalKind], labels: Mapping[str, str] | None = None) -> list[GlobalKind]:
        """Return all objects of a cluster-wide kind."""
        async with translated(read_only=True):
            return [item async for item in self._client.list(kind, labels=dict(labels or {}), chunk_size=500)]

    async def list_fields(self, kind: type[Kind], fields: Mapping[str, str]) -> list[Kind]:
        """Return all objects in which these fields have these values."""
        async with translated(read_only=True):
            return [item async for item in self._client.list(kind, fields=dict(fields), chunk_size=500)]

    async def create(self, resource: Kind) -> Kind:
        """Create an object and return it as stored.

        Raises:
            ContainerConflict: an object with this name exists.
            StartError: the server refuses the object.
        """
        self._fence()
        async with translated():
            return await self._client.create(resource)

    async def replace(self, resource: Kind) -> Kind:
        """Replace the object, if it still has the `resourceVersion` of `resource`.

        Raises:
            ContainerConflict: the object has changed since it was read.
            ContainerMissing: the object does not exist any more.
        """
        self._fence()
        async with translated():
            return await self._client.replace(resource)

    async def patch(self, kind: type[Kind], name: str, changes: Json) -> Kind:
        """Merge changes into an object; null removes a key.

        Raises:
            ContainerConflict: the changes have a `metadata.resourceVersion`, and the object has another version.
            ContainerMissing: the object does not exist any more.
        """
        self._fence()
        async with translated():
            return await self._client.patch(kind, name, changes, patch_type=PatchType.MERGE)

    async def delete(self, kind: type[Kind], name: str, uid: str | None = None, grace_s: int | None = None) -> bool:
        """Delete an object. With `uid`, an object with the same name and another uid stays. Return False if no object
        was deleted.

        Raises:
            StartError: the server refuses the deletion.
        """
        body: Json = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        if grace_s is not None:
            body["gracePeriodSeconds"] = grace_s
        self._fence()
        async with translated():
            answer = await self._http.request("DELETE", self._path(kind, name), json=body)
            if answer.status_code == NOT_FOUND or _is_other_object(answer):
                return False
            _raise_on_error(answer)
        return True

    async def watch(
        self,
        kind: type[Kind],
        labels: Mapping[str, str] | None = None,
        version: str | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[tuple[str, Kind]]:
        """Yield the changes since this version, each with its type (ADDED, MODIFIED, DELETED or BOOKMARK) and its
        object. The object of a bookmark has only a version. The watch ends after `WATCH_S`; the caller then continues
        from the version of the last object.

        Raises:
            ApiGone: that version is too old.
        """
        async with translated(read_only=True):
            path = self._path(kind, "").rstrip("/")
            params: dict[str, str | int] = {
                "watch": "true",
                "timeoutSeconds": WATCH_S,
                "allowWatchBookmarks": "true",
            }
            if labels:
                params["labelSelector"] = ",".join(f"{name}={value}" for name, value in labels.items())
            if fields:
                params["fieldSelector"] = ",".join(f"{name}={value}" for name, value in fields.items())
            if version:
                params["resourceVersion"] = version
            limits = httpx2.Timeout(self._timeout_s, read=WATCH_S + WATCH_MARGIN_S)
            async with self._http.stream("GET", path, params=params, timeout=limits) as answer:
                if not answer.is_success:
                    await answer.aread()
                    _raise_on_error(answer)
                async for line in answer.aiter_lines():
                    change = msgspec.json.decode(line, type=_Change)
                    if change.type == "ERROR":
                        raise ApiError(status=msgspec.json.decode(change.object, type=Status))
                    yield change.type, _decoded(change, kind)

    def _path(self, kind: type[NamespacedResource], name: str, part: str = "") -> str:
        info = api_info(kind)
        group = f"apis/{info.resource.group}" if info.resource.group else "api"
        path = f"{group}/{info.resource.version}/namespaces/{self.namespace}/{info.plural}/{name}"
        return f"{path}/{part}" if part else path

    # Other requests -----------------------------------------------------------------------------------------------

    async def request_json(self, path: str, body: object = None) -> Json:
        """Send a GET request, or a POST request if there is a body, and return the answer."""
        async with translated(read_only=True):
            method = "GET" if body is None else "POST"
            content = None if body is None else msgspec.json.encode(body)
            headers = {"Content-Type": "application/json"} if content else None
            answer = await self._http.request(method, path, content=content, headers=headers)
            _raise_on_error(answer)
            return msgspec.json.decode(answer.content, type=Json)

    async def logs(self, pod: str, lines: int, timeout_s: float, container: str = CONTAINER) -> str:
        """Return the last lines of the output of one container of a Pod, which may have other containers.

        Raises:
            ContainerMissing: there is no such Pod.
        """
        async with translated(read_only=True):
            path = f"api/v1/namespaces/{self.namespace}/pods/{pod}/log"
            answer = await self._http.get(path, params={"container": container, "tailLines": lines}, timeout=timeout_s)
            _raise_on_error(answer)
            return answer.text

    async def follow_logs(self, pod: str, container: str, since: str | None) -> AsyncGenerator[tuple[str, str]]:
        """Yield the lines that a Pod's container writes after the time `since` (None = now), each with its time. The
        stream ends with the container, or after `WATCH_S` without a line; the caller then continues from the time of
        the last line.

        Raises:
            ContainerMissing: there is no such Pod.
        """
        params: dict[str, str | int] = {"container": container, "follow": "true", "timestamps": "true"}
        params |= {"tailLines": 0} if since is None else {"sinceTime": since}
        limits = httpx2.Timeout(self._timeout_s, read=WATCH_S)
        async with translated(read_only=True):
            try:
                async with self._http.stream(
                    "GET", f"{self._path(Pod, pod)}/log", params=params, timeout=limits
                ) as answer:
                    if not answer.is_success:
                        await answer.aread()
                        _raise_on_error(answer)
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
        """Run a command in a Pod and yield the connection to it. Servers log `argv`, so it must not contain secrets.

        Raises:
            httpx2.websockets.WebSocketUpgradeError: the server refuses the command; the response contains the reason.
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
            raise RuntimeUnavailable(log_in_error(error)) from error
        except BaseExceptionGroup as group:  # the client wraps all errors raised here, also those of the caller
            error = first_error(group)
            if isinstance(error, LocalProtocolError):  # sending after a close; its text contains the message
                error = WebSocketNetworkError()
            raise error from None


def _raise_on_error(answer: httpx2.Response) -> None:
    if answer.is_success:
        return
    try:
        message = str(msgspec.json.decode(answer.content, type=Json).get("message") or answer.reason_phrase)
    except msgspec.DecodeError:
        message = f"{answer.status_code} {answer.reason_phrase}"
    raise httpx2.HTTPStatusError(message, request=answer.request, response=answer)


def _is_other_object(answer: httpx2.Response) -> bool:
    """Return True if the precondition failed, because the name belongs to another object now."""
    return answer.status_code == 409 and b"recondition" in answer.content


def _decoded(change: _Change, kind: type[Kind]) -> Kind:
    """Decode the object of a change. The object of a bookmark has only metadata, so required fields may be missing."""
    if change.type != "BOOKMARK":
        return msgspec.json.decode(change.object, type=kind)
    return kind(metadata=msgspec.json.decode(change.object, type=_Bookmark).metadata)  # pyright: ignore[reportCallIssue]


class _Bookmark(msgspec.Struct):
    metadata: ObjectMeta


class _Change(msgspec.Struct):
    """A change, as one line of a watch."""

    type: str
    object: msgspec.Raw
