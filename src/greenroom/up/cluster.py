"""The Kubernetes that an instance's Agents use: which one, and what it lacks."""

from __future__ import annotations

from pathlib import Path

from greenroom.kit.config import AgentConfig
from greenroom.runtimes.settings import KubernetesSettings


def kubernetes_settings(runtime: str, folder: Path) -> KubernetesSettings | None:
    """Which cluster and namespace the Agent of this folder has, by the same settings as the Agent itself; None = its
    sessions are no Pods."""
    return _settings_of(AgentConfig(agent_dir=folder)) if runtime == "kubernetes" else None


async def cluster_remarks(folder: Path) -> list[str]:
    """What some sessions of the Agent of this folder will lack, a sentence each.

    Raises:
        SetupError: the settings or the kubeconfig cannot be used.
        RuntimeUnavailable: the cluster does not serve the Agent; the sentence says why.
    """
    from greenroom.runtimes.kubernetes.access import examined  # noqa: PLC0415 -- other runtimes do without its client

    config = AgentConfig(agent_dir=folder)
    return await examined(_settings_of(config), config.offered_runtimes())


def _settings_of(config: AgentConfig) -> KubernetesSettings:
    from greenroom.agent.host import kubernetes_of  # noqa: PLC0415 -- nor with the Agent's modules

    return kubernetes_of(config)
