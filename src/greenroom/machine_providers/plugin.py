"""The plug-ins of machine providers.

A distribution names its subclass of `ProviderPlugin` as an entry point of the group `greenroom.machine_providers`. The
api uses `rules` to check the options of a pool, and a Manager uses the provider of a pool.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from greenroom.core.errors import Invalid
from greenroom.core.fleet.addresses import AllowedHost
from greenroom.core.fleet.machines.provider import ProviderRules
from greenroom.kit import plugins
from greenroom.kit.config import FromEnvironment
from greenroom.machine_providers.contract import Provider

S = TypeVar("S", bound=FromEnvironment)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolContext:
    """The data with which the provider of a machine pool is created, in addition to its own settings."""

    machine_pool_id: str
    options: Mapping[str, Any]
    secrets: Mapping[str, str] = field(repr=False)
    call_timeout_s: float
    """The time limit of one call."""
    trusted_hosts: tuple[AllowedHost, ...] = ()
    """The hosts of the setting `webhook_hosts`."""


class ProviderPlugin(plugins.Plugin[S], ABC):
    """A kind of provider with its settings. The methods import libraries only when they are called, because other
    processes do not need the libraries."""

    rules: ClassVar[ProviderRules]

    @abstractmethod
    def provider(self, pool: PoolContext) -> Provider:
        """Return the provider of a pool. Raises SetupError: the settings cannot be used."""


def find_provider(name: str) -> type[ProviderPlugin[Any]]:
    """Return the provider of this name.

    Raises:
        Invalid: there is no such provider.
        SetupError: it cannot be loaded.
    """
    plugin = plugins.find_plugin(plugins.MACHINE_PROVIDERS, name)
    if plugin is None:
        installed = ", ".join(plugins.plugin_names(plugins.MACHINE_PROVIDERS)) or "none"
        message = f"There is no machine provider {name!r}; installed: {installed}."
        raise Invalid(plugins.installation_hint(plugins.MACHINE_PROVIDERS, name) or message)
    if not issubclass(plugin, ProviderPlugin):
        raise Invalid(f"The machine provider {name!r} is not a ProviderPlugin.")
    return plugin
