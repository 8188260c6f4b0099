"""The runtime that runs sessions as Pods of one namespace.

Each session has one Secret, which is created first and deleted last, and one Pod. Their names contain the session's id,
so neither can exist twice. This process stores no state of sessions; it reads the state from the API server.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from typing import Final

import structlog
from lightkube.resources.core_v1 import Node, Pod, ResourceQuota

from greenroom.core.session.reconcile import ContainerState
from greenroom.core.workspace.session_spec import Exec, SessionFile, SessionSpec
from greenroom.runtimes.contract import (
    AGENT,
    MAX_LOG_CHARACTERS,
    PROBE_TIMEOUT_S,
    Capacity,
    Container,
    ContainerConflict,
    ContainerEvent,
    ContainerMissing,
    Credentials,
    ExecResult,
    FilterAccount,
    FilterNetwork,
    HostUsage,
    Image,
    ProbeResult,
    RuntimeUnavailable,
    StartError,
    cut_output,
)
from greenroom.runtimes.kubernetes.access import check_requirements, find_limitations, is_permitted
from greenroom.runtimes.kubernetes.capacity import (
    Amount,
    allocatable_of_nodes,
    requests_of_pods,
    total_of_quotas,
    unlimited_resources,
)
from greenroom.runtimes.kubernetes.changes import Changes
from greenroom.runtimes.kubernetes.cluster import Cluster
from greenroom.runtimes.kubernetes.exec import run_exec
from greenroom.runtimes.kubernetes.filter_manifest import FILES_FOLDER
from greenroom.runtimes.kubernetes.filters import PodFilters
from greenroom.runtimes.kubernetes.homes import KubernetesHomes
from greenroom.runtimes.kubernetes.images import PulledImages
from greenroom.runtimes.kubernetes.manifest import AllowedResources
from greenroom.runtimes.kubernetes.names import ObjectOwner, object_name
from greenroom.runtimes.kubernetes.objects import labels_of
from greenroom.runtimes.kubernetes.pod_state import container_of
from greenroom.runtimes.kubernetes.sessions import SessionPods, now
from greenroom.runtimes.kubernetes.settings import KubernetesSettings
from greenroom.runtimes.probe import Prober

log = structlog.get_logger(__name__)

LOGS_TIMEOUT_S: Final = 3.0
CANNOT_STOP: Final = (
    "A Pod cannot be stopped or paused and continued later. Sessions in Kubernetes run until they are deleted."
)


class KubernetesRuntime:
    """Implements `contract.Runtime`, `HomeHost`, `FilterHost`, `FilterRunner` and `LogInStore`. `plugin.Context`
    documents the arguments.
    """

    def __init__(
        self,
        installation_id: str,
        agent_id: str,
        *,
        settings: KubernetesSettings,
        share: float = 1.0,
        folders: Sequence[str] = (),
        runtime_classes: tuple[str, ...] = (),
        fence: Callable[[], None] = lambda: None,
    ) -> None:
        """Raises SetupError: the kubeconfig cannot be used."""
        self._owner = ObjectOwner(installation_id=installation_id, agent_id=agent_id)
        self._cluster = Cluster(settings, fence=fence)
        self._share = share
        self._runtime_classes = runtime_classes
        self._storage_class = settings.kube_storage_class
        self._images = PulledImages(self._cluster, self._owner)
        self.homes = KubernetesHomes(self._cluster, self._owner, settings)
        allowed = AllowedResources(runtime_classes=runtime_classes, folders=tuple(folders))
        self._filters = PodFilters(self._cluster, self._owner, settings.kube_filter_image)
        self._sessions = SessionPods(self._cluster, self._owner, self.homes, self._filters, allowed)
        self._prober = Prober()
        self._can_list_nodes = False

    async def open(self) -> None:
        await self._cluster.open()
        version = await check_requirements(self._cluster)
        self._can_list_nodes = await is_permitted(self._cluster, "list", "nodes", in_namespace=False)
        for limitation in await find_limitations(self._cluster, self._storage_class, self._runtime_classes):
            log.warning("the cluster does not meet the requirements of some sessions", reason=limitation)
        log.info("sessions are Pods", namespace=self._cluster.namespace, server=self._cluster.server, version=version)

    async def close(self) -> None:
        await self._prober.close()
        await self._cluster.close()

    # Containers ---------------------------------------------------------------------------------------------------

    async def create(
        self,
        session_id: str,
        spec: SessionSpec,
        labels: Mapping[str, str] | None = None,
        *,
        low_cpu_share: bool = False,
    ) -> Container:
        """Create a session. `low_cpu_share` has no effect, because the CPU share of a Pod cannot be changed later."""
        del low_cpu_share
        return await self._sessions.create(session_id, spec, labels)

    async def give_full_cpu_share(self, session_id: str, spec: SessionSpec) -> None:
        del spec
        await self._sessions.require(session_id)

    async def put_files(self, session_id: str, files: Sequence[SessionFile]) -> None:
        await self._sessions.put_files(session_id, files)

    async def start(self, session_id: str) -> Container:
        return await self._sessions.start(session_id)

    async def stop(self, session_id: str, grace_s: float = 10.0) -> None:
        del grace_s
        await self._refuse_stop(session_id)

    async def pause(self, session_id: str) -> None:
        await self._refuse_stop(session_id)

    async def unpause(self, session_id: str) -> None:
        await self._refuse_stop(session_id)

    async def _refuse_stop(self, session_id: str) -> None:
        await self._sessions.require(session_id)
        raise StartError(CANNOT_STOP)

    async def remove(self, session_id: str) -> None:
        await self._sessions.remove(session_id)

    async def list(self) -> list[Container]:
        return await self._sessions.list()

    async def inspect(self, session_id: str) -> Container | None:
        try:
            secret, pod = await self._sessions.require(session_id)
        except (ContainerMissing, ContainerConflict):
            return None
        return container_of(secret, pod, now())

    async def exec(self, session_id: str, command: Exec) -> ExecResult:
        secret, pod = await self._sessions.require(session_id)
        container = container_of(secret, pod, now())
        if container.state is not ContainerState.RUNNING:
            raise StartError(f"The command was not run: the session is {container.state.value}.")
        return await run_exec(self._cluster, object_name(session_id), command)

    async def logs(self, session_id: str, lines: int = 50) -> str:
        """Return the last lines of the session's output; empty if its node cannot return them."""
        try:
            secret, pod = await self._sessions.require(session_id)
            container = container_of(secret, pod, now())
            if (
                pod is None
                or container.state is ContainerState.CREATED
                or (container.ended and container.exit_code is None)
            ):
                return ""
            output = await self._cluster.logs(object_name(session_id), lines, LOGS_TIMEOUT_S)
        except (ContainerMissing, ContainerConflict):
            return ""
        return cut_output(output, MAX_LOG_CHARACTERS)

    async def events(self) -> AsyncIterator[ContainerEvent]:
        async with aclosing(Changes(self._cluster, self._owner.selector("session")).run()) as changes:
            async for event in changes:
                yield event

    async def probe(
        self, address: str, spec: SessionSpec, timeout_s: float = PROBE_TIMEOUT_S, *, keep_connection: bool = False
    ) -> ProbeResult:
        return await self._prober.probe(address, spec, timeout_s, keep_connection=keep_connection)

    async def screenshot(self, address: str, spec: SessionSpec, width: int, height: int) -> bytes:
        return await self._prober.screenshot(address, spec, width, height)

    # Images -------------------------------------------------------------------------------------------------------

    async def images(self) -> list[Image]:
        return await self._images.all()

    async def image(self, name: str) -> Image | None:
        return await self._images.find(name)

    def pull(self, name: str, credentials: Credentials | None = None) -> AsyncIterator[int]:
        return self._images.pull(name, credentials)

    async def store_log_ins(self, images: Collection[str], credentials: Mapping[str, Credentials | None]) -> None:
        await self._images.store_log_ins(images, credentials)

    # Web filters --------------------------------------------------------------------------------------------------

    @property
    def filters_packets(self) -> bool:
        """False, because this host filters no packets of sessions."""
        return False

    @property
    def filter_folder(self) -> str:
        return FILES_FOLDER

    async def open_filter_network(
        self, policy_id: str, account: FilterAccount, *, trusts_authority: bool = False
    ) -> FilterNetwork:
        del trusts_authority  # always False: the Agent refuses sessions with secrets in Kubernetes
        return await self._filters.open(policy_id, account)

    async def close_filter_network(self, policy_id: str) -> bool:
        return await self._filters.close(policy_id)

    async def filter_networks(self) -> list[FilterNetwork]:
        return await self._filters.all()

    async def run_filter(self, policy_id: str, files: Mapping[str, str]) -> bool:
        return await self._filters.run(policy_id, files)

    def filter_output(self, policy_id: str) -> AsyncIterator[str]:
        return self._filters.output(policy_id)

    # Capacity and usage -------------------------------------------------------------------------------------------

    async def capacity(self) -> Capacity:
        total, _ = await self._amounts()
        return Capacity(
            cores=total.cores * self._share,
            memory_bytes=int(total.memory_bytes * self._share),
            runtime_classes=self._runtime_classes,
            can_pause=False,
            on_other_machines=True,
        )

    async def host_usage(self) -> HostUsage:
        """Return the resources that the sessions request. Their actual usage is not read."""
        total, own_amount = await self._amounts()
        return HostUsage(
            cpu=own_amount.cores / total.cores if total.cores else 0.0, memory_bytes=own_amount.memory_bytes
        )

    async def _amounts(self) -> tuple[Amount, Amount]:
        """Return the cores and memory for the sessions of this Agent, and the cores and memory that they request now.

        The first amount excludes the requests of other Agents' sessions: quotas count these requests as used, and this
        method subtracts them from the capacity of the nodes.
        """
        (quotas, _), (pods, _) = await asyncio.gather(
            self._cluster.list(ResourceQuota), self._cluster.list(Pod, self._owner.selector("session"))
        )
        own_amount = requests_of_pods(pod for pod in pods if self._is_own(pod))
        total = total_of_quotas(quotas, own_amount)
        if self._can_list_nodes:
            others = requests_of_pods(pod for pod in pods if not self._is_own(pod))
            total = total.minimum(allocatable_of_nodes(await self._cluster.list_global(Node)).without(others))
        if unlimited := unlimited_resources(total):
            names = " and ".join(unlimited)
            raise RuntimeUnavailable(
                f"The capacity for sessions is unknown: no ResourceQuota of {self._cluster.namespace} limits {names},"
                f" and this Agent may not list nodes. Create a ResourceQuota with {names}, or allow the Agent to list"
                " nodes."
            )
        return total, own_amount

    def _is_own(self, pod: Pod) -> bool:
        return labels_of(pod).get(AGENT) == self._owner.agent_id

    async def remove_all(self) -> int:
        """Remove all sessions and return their number. Profiles of users stay."""
        containers = await self.list()
        await asyncio.gather(*(self.remove(container.session_id) for container in containers))
        await self._filters.remove_all()
        await self._images.remove_all()
        return len(containers)
