"""The runtime `simulated`: sessions exist only in files, for tests and load."""

from __future__ import annotations

from pathlib import Path

from greenroom.kit.config import FromEnvironment
from greenroom.runtimes.contract import Runtime, Shared
from greenroom.runtimes.plugin import Context, RuntimePlugin


class SimulatedPlugin(RuntimePlugin[FromEnvironment]):
    """Implements `RuntimePlugin`."""

    settings_type = FromEnvironment
    title = "the simulated runtime"
    checked = "simulated runtime"
    sessions_elsewhere = "simulated here"

    def runtime(self, context: Context) -> Runtime:
        from greenroom.runtimes.simulated import SimulatedRuntime  # noqa: PLC0415

        return SimulatedRuntime(
            context.installation_id,
            context.agent_id,
            folder=context.folder,
            share=context.share,
            runtime_classes=context.runtime_classes,
        )

    def shared(self, group: str, folder: Path) -> Shared:
        """Return the records in a folder that all processes of the Agent use, next to their own folders."""
        from greenroom.runtimes.simulated_host import SharedFolder  # noqa: PLC0415

        return SharedFolder(folder.parent / f"shared-{group}")
