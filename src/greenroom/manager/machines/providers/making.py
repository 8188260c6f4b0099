"""The provider of a machine pool, made from its row, its secrets and this Manager's settings."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from greenroom.core.fleet.addresses import AllowedHost
from greenroom.db.fleet.machine_pools import MachinePoolRow
from greenroom.kit.config import ManagerConfig
from greenroom.kit.secrets import Secrets
from greenroom.manager.machines.providers.command import CommandProvider
from greenroom.manager.machines.providers.contract import Provider
from greenroom.manager.machines.providers.libcloud import LibcloudProvider, allowed_clouds
from greenroom.manager.machines.providers.simulated import SimulatedCloud, SimulatedProvider

CALL_S: Final = 60.0
"""Limit of one call of a provider."""


class Providers:
    """Keeps the provider of each pool while its settings stay the same: connections and drivers are used again."""

    trusted: tuple[AllowedHost, ...] = ()
    """The hosts of the setting `webhook_hosts`."""

    def __init__(self, config: ManagerConfig, secrets: Secrets) -> None:
        self._folders = [Path(folder) for folder in config.machine_command_folders()]
        self._clouds_allowed = allowed_clouds(config.machine_clouds)
        self._secrets = secrets
        self._made: dict[str, tuple[object, Provider]] = {}
        self._clouds: dict[str, SimulatedCloud] = {}

    def of(self, pool: MachinePoolRow) -> Provider:
        """Raises SetupError: its secrets were sealed with another key."""
        settings = (pool.provider, pool.options, pool.secrets, self.trusted if pool.provider == "webhook" else ())
        kept = self._made.get(pool.machine_pool_id)
        if kept is None or kept[0] != settings:
            kept = settings, self._new(pool)
            self._made[pool.machine_pool_id] = kept
        return kept[1]

    def opened(self, pool: MachinePoolRow) -> dict[str, str]:
        """The secrets of a pool; never shown.

        Raises:
            SetupError: they were sealed with another key.
        """
        return {name: self._secrets.opened(sealed) for name, sealed in pool.secrets.items()}

    def _new(self, pool: MachinePoolRow) -> Provider:
        options, secrets = pool.options, self.opened(pool)
        if pool.provider == "command":
            return CommandProvider(options, secrets, self._folders)
        if pool.provider == "webhook":
            from greenroom.manager.machines.providers.webhook import WebhookProvider  # noqa: PLC0415 -- few Managers need it

            return WebhookProvider(options, secrets, CALL_S, self.trusted)
        if pool.provider == "libcloud":
            return LibcloudProvider(options, secrets, CALL_S / 2, self._clouds_allowed)
        return SimulatedProvider(self._clouds.setdefault(pool.machine_pool_id, SimulatedCloud()))
