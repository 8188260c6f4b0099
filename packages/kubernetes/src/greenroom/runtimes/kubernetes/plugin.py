"""The runtime `kubernetes`: sessions are Pods of a namespace."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from greenroom.core.errors import SetupError
from greenroom.runtimes.contract import InstallationObjects, ReplicaStore, Runtime, RuntimeUnavailable
from greenroom.runtimes.kubernetes.settings import KubernetesSettings
from greenroom.runtimes.plugin import Context, InstanceFacts, RuntimePlugin


class KubernetesPlugin(RuntimePlugin[KubernetesSettings]):
    """Implements `RuntimePlugin`. Its methods import modules when they are called, because lightkube loads slowly."""

    settings_type = KubernetesSettings
    title = "the cluster"
    check_subject = "cluster"
    remote_sessions_text = "Pods of a cluster"

    def runtime(self, context: Context) -> Runtime:
        from greenroom.runtimes.kubernetes.runtime import KubernetesRuntime  # noqa: PLC0415

        return KubernetesRuntime(
            context.installation_id,
            context.agent_id,
            settings=self.settings,
            share=context.share,
            folders=context.folders.allowed if context.folders else (),
            runtime_classes=context.runtime_classes,
            fence=context.fence,
        )

    def replica_store(self, group: str, folder: Path) -> ReplicaStore:
        """Return the store in the namespace."""
        from greenroom.runtimes.kubernetes.replica_store import NamespaceStore  # noqa: PLC0415

        del folder
        return NamespaceStore(self.settings, group)

    def installation_objects(self, installation_id: str) -> AbstractAsyncContextManager[InstallationObjects]:
        from greenroom.runtimes.kubernetes.installation_objects import namespace_objects  # noqa: PLC0415

        return namespace_objects(self.settings, installation_id)

    async def check(self, first_image: str) -> None:
        """Check the cluster. The nodes pull images themselves."""
        from greenroom.runtimes.kubernetes.access import check_cluster  # noqa: PLC0415

        del first_image
        try:
            await check_cluster(self.settings)
        except RuntimeUnavailable as error:
            raise SetupError(error.message) from error

    async def warnings(self, instance: InstanceFacts) -> list[str]:
        from greenroom.runtimes.kubernetes.access import check_cluster  # noqa: PLC0415

        return await check_cluster(self.settings, instance.runtime_classes)
