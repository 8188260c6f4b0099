"""A namespace of the test cluster as a host of the conformance suite."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from tests.support.kubernetes.cluster import Cluster
from tests.support.kubernetes.tools import FILTER
from tests.support.runtime_hosts import Host, new_id

from greenroom.agent.web_filter.policy_squid import RuntimePolicySquids
from greenroom.core.web_filter import FilterPolicy
from greenroom.runtimes.contract import FilterNetwork, FilterRunner, HostRuntime
from greenroom.runtimes.host_folders import HostFolders
from greenroom.runtimes.kubernetes.plugin import KubernetesPlugin
from greenroom.runtimes.kubernetes.settings import KubernetesSettings
from greenroom.runtimes.plugin import Context


class Namespace(Host):
    """Its runtimes are Agents of one namespace."""

    def __init__(self, cluster: Cluster, name: str, folder: Path) -> None:
        super().__init__("kubernetes", folder)
        self.settings = KubernetesSettings(
            kube_config=cluster.kubeconfig, kube_namespace=name, kube_filter_image=FILTER
        )
        self.address = "10."
        self.folders = HostFolders()
        self.runtime_classes: tuple[str, ...] = ()

    async def open(self, installation_id: str | None = None, share: float = 1.0, connections: int = 0) -> HostRuntime:
        del connections
        context = Context(
            installation_id=installation_id or self.installation_id,
            agent_id=new_id(),
            folder=self.folder,
            share=share,
            folders=self.folders,
            runtime_classes=self.runtime_classes,
        )
        runtime = cast("HostRuntime", KubernetesPlugin(self.kind, self.settings).runtime(context))
        await runtime.open()
        self.opened.append(runtime)
        return runtime

    async def serve(self, runtime: HostRuntime, network: FilterNetwork) -> None:
        assert isinstance(runtime, FilterRunner)
        serving = RuntimePolicySquids(runtime, (), lambda: None).squid_of(network.policy_id)
        await serving.apply(FilterPolicy(filter_policy_id=network.policy_id, name="strict"), network)
        serving.stop_watching()
