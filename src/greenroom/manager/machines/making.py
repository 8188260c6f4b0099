"""The provider of a machine pool, made from its row and its secrets by the plug-in of its name."""

from __future__ import annotations

from typing import Any, Final

from greenroom.core.fleet.addresses import AllowedHost
from greenroom.db.fleet.machine_pools import MachinePoolRow
from greenroom.kit.environment import load
from greenroom.kit.secrets import Secrets
from greenroom.machine_providers.contract import Provider
from greenroom.machine_providers.plugin import PoolContext, ProviderPlugin, find_provider

CALL_S: Final = 60.0
"""Limit of one call of a provider."""


class Providers:
    """Keeps the provider of each pool while its settings stay the same: connections and drivers are used again."""

    trusted: tuple[AllowedHost, ...] = ()
    """The hosts of the setting `webhook_hosts`."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._plugins: dict[str, ProviderPlugin[Any]] = {}
        self._made: dict[str, tuple[object, Provider]] = {}

    def of(self, pool: MachinePoolRow) -> Provider:
        """Raises GreenroomError: it is not installed, or its settings or the pool's secrets cannot be used."""
        settings = (pool.provider, pool.options, pool.secrets, self.trusted)
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
        if pool.provider not in self._plugins:
            found = find_provider(pool.provider)
            self._plugins[pool.provider] = found(pool.provider, load(found.settings_type))
        return self._plugins[pool.provider].provider(
            PoolContext(
                machine_pool_id=pool.machine_pool_id,
                options=pool.options,
                secrets=self.opened(pool),
                call_s=CALL_S,
                trusted=self.trusted,
            )
        )
