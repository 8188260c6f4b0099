"""The runtime `simulated`, for tests and load tests: its sessions exist only in files."""

from __future__ import annotations

from pathlib import Path

from greenroom.kit.config import FromEnvironment
from greenroom.runtimes.contract import ReplicaStore, Runtime
from greenroom.runtimes.plugin import Context, RuntimePlugin


class SimulatedPlugin(RuntimePlugin[FromEnvironment]):
    """Implements `RuntimePlugin`."""

    settings_type = FromEnvironment
    title = "the simulated runtime"
    check_subject = "simulated runtime"
    remote_sessions_text = "simulated here"

    def runtime(self, context: Context) -> Runtime:
        from greenroom.runtimes.simulated import SimulatedRuntime  # noqa: PLC0415

        return SimulatedRuntime(
            context.installation_id,
            context.agent_id,
            folder=context.folder,
            share=context.share,
            runtime_classes=context.runtime_classes,
        )

    def replica_store(self, group: str, folder: Path) -> ReplicaStore:
        """Return the store in a folder next to the folders of the replicas."""
        from greenroom.runtimes.simulated_host import FolderStore  # noqa: PLC0415

        return FolderStore(folder.parent / f"shared-{group}")
