"""Creates machines with Apache Libcloud, which is imported in a thread because the import takes 0.2 s.

Calls of Libcloud block their thread. Each pool has its own threads, so that a cloud without an answer does not block
other pools, and each connection has a time limit. Each thread has its own driver, because a driver stores its last
answer. Images are not listed, because a cloud has tens of thousands and only the id is needed.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import structlog

from greenroom.core.fleet.machines.provider import options_problem, provider_text
from greenroom.machine_providers.contract import NewMachine, ProviderError, ProviderMachine
from greenroom.machine_providers.libcloud.rules import LIBCLOUD, PUBLIC_CLOUDS

T = TypeVar("T")
log = structlog.get_logger(__name__)

MAX_THREADS: Final = 4
_USER_DATA_ARGUMENTS: Final = {"digitalocean": "ex_user_data", "dummy": ""}
"""Driver → the argument of its `create_node` for the user data; empty = the driver supports no user data."""
_TERMINATED: Final = "terminated"


class LibcloudProvider:
    """Creates machines with `options`: `driver`, `arguments` of the driver (`region`), `size`, `image`,
    `user_data_argument` (the name of the argument of `create_node` for the user data), and `create` (further arguments
    of `create_node`). The secrets are `key` and `secret`. `clouds` are the drivers that may be used, each with
    arguments that override the arguments of the pool."""

    def __init__(
        self,
        options: Mapping[str, Any],
        secrets: Mapping[str, str],
        timeout_s: float,
        clouds: Mapping[str, Mapping[str, Any]] = PUBLIC_CLOUDS,
    ) -> None:
        self._clouds = clouds
        self._options = options
        self._secrets = secrets
        self._timeout_s = timeout_s
        self._name = str(options.get("driver", ""))
        self._threads = ThreadPoolExecutor(MAX_THREADS, "libcloud")
        self._thread_local = threading.local()

    async def list(self, prefix: str) -> Sequence[ProviderMachine]:
        def list_machines(driver: Any) -> Sequence[ProviderMachine]:
            return [
                ProviderMachine(str(node.id), str(node.name))
                for node in driver.list_nodes()
                if str(node.state) != _TERMINATED and str(node.name).startswith(prefix)
            ]

        return await self._call_in_thread(list_machines)

    async def create(self, machine: NewMachine) -> str:
        def create_node(driver: Any) -> str:
            from libcloud.compute.base import NodeImage  # noqa: PLC0415

            image = str(self._options.get("image", ""))
            arguments: dict[str, Any] = {
                **self._options.get("create", {}),
                "name": machine.name,
                "size": self._size(driver),
                "image": NodeImage(id=image, name=image, driver=driver),
            }
            argument_name = self._options.get("user_data_argument", _USER_DATA_ARGUMENTS.get(self._name, "ex_userdata"))
            if argument_name:
                arguments[argument_name] = machine.user_data
            created = driver.create_node(**arguments)
            if str(created.name) != machine.name:
                driver.destroy_node(created)
                raise ProviderError(
                    f"{self._name} does not store the names of machines, which Greenroom needs to recognize them."
                )
            return str(created.id)

        return await self._call_in_thread(create_node, may_create=True, secret_texts=(machine.join.token,))

    async def end(self, ref: str, name: str) -> None:
        del name

        def destroy(driver: Any) -> None:
            for node in driver.list_nodes():
                if str(node.id) == ref and str(node.state) != _TERMINATED and not driver.destroy_node(node):
                    raise ProviderError(f"{self._name} did not end the machine {ref}.")

        await self._call_in_thread(destroy)

    def _size(self, driver: Any) -> Any:
        """Return the size of the pool. Raises ProviderError: the cloud has no such size."""
        size_name = str(self._options.get("size", ""))
        sizes = {key: size for size in driver.list_sizes() for key in (str(size.name), str(size.id))}
        if size_name not in sizes:
            size_names = ", ".join(sorted(sizes)[:20])
            raise ProviderError(
                f"{self._name} has no size {size_name}; it has {provider_text(size_names)}.", refused=True
            )
        return sizes[size_name]

    async def _call_in_thread(
        self, action: Callable[[Any], T], *, may_create: bool = False, secret_texts: Collection[str] = ()
    ) -> T:
        def run() -> T:
            if not hasattr(self._thread_local, "driver"):
                self._thread_local.driver = self._new_driver()
            return action(self._thread_local.driver)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, run)
        except ProviderError:
            raise
        except Exception as error:
            reason = provider_text(str(error), (*self._secrets.values(), *secret_texts))
            log.warning("a request to a cloud failed", driver=self._name, reason=reason)
            status = _http_status(error)
            raise ProviderError(
                f"The request to {self._name} failed: {type(error).__name__}{f' (HTTP {status})' if status else ''}."
                " The log of the Manager has the reason.",
                retry_after_s=_retry_after_s(error),
                refused=not may_create or _is_refusal(error),
            ) from error

    def _new_driver(self) -> Any:
        """Create a driver. Raises ProviderError: there is no such driver, or it does not accept the arguments."""
        if self._name not in self._clouds:
            allowed = ", ".join(sorted(self._clouds))
            raise ProviderError(
                f"This Manager does not use the driver {provider_text(self._name)!r}: its setting"
                f" GREENROOM_MACHINE_CLOUDS allows {allowed}.",
                refused=True,
            )
        if problem := options_problem("libcloud", LIBCLOUD, self._options):
            raise ProviderError(problem, refused=True)
        from libcloud.compute.providers import get_driver  # noqa: PLC0415

        try:
            driver_class: Any = get_driver(self._name)
        except AttributeError as error:
            raise ProviderError(f"Libcloud has no driver {provider_text(self._name)!r}.", refused=True) from error
        credentials = [self._secrets[name] for name in ("key", "secret") if name in self._secrets]
        try:
            driver = driver_class(*credentials, **{**self._options.get("arguments", {}), **self._clouds[self._name]})
        except TypeError as error:
            reason = provider_text(str(error), self._secrets.values())
            raise ProviderError(f"The driver {self._name} takes other arguments: {reason}.", refused=True) from error
        driver.connection.timeout = self._timeout_s
        return driver


def _is_refusal(error: Exception) -> bool:
    """Return True if the cloud reports that it created nothing. After any other error a machine may exist."""
    return type(error).__name__ == "InvalidCredsError" or 400 <= _http_status(error) < 500


def _http_status(error: Exception) -> int:
    """Return the HTTP status of the cloud's answer; 0 = no answer."""
    code = getattr(error, "code", 0) or getattr(error, "http_code", 0)
    return code if isinstance(code, int) else 0


def _retry_after_s(error: Exception) -> float:
    headers: Mapping[str, str] = getattr(error, "headers", None) or {}
    text = str(getattr(error, "retry_after", None) or headers.get("retry-after", ""))
    return float(text) if text.isdecimal() else 0.0
