"""The providers that come with Greenroom."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from greenroom.core.fleet.machines import provider as options
from greenroom.kit.config import FromEnvironment, listed
from greenroom.machine_providers.contract import Provider
from greenroom.machine_providers.plugin import PoolContext, ProviderPlugin
from greenroom.machine_providers.simulated import SimulatedCloud, SimulatedProvider


class CommandSettings(FromEnvironment):
    """Settings of the provider `command`."""

    machine_commands: str = ""
    """Comma list: only programs in these folders are run for machine pools; empty = none."""


class CommandPlugin(ProviderPlugin[CommandSettings]):
    """A program of the administrator's."""

    settings_type = CommandSettings
    rules = options.COMMAND

    def provider(self, pool: PoolContext) -> Provider:
        from greenroom.machine_providers.command import CommandProvider  # noqa: PLC0415

        folders = [Path(folder) for folder in listed(self.settings.machine_commands)]
        return CommandProvider(pool.options, pool.secrets, folders)


class WebhookPlugin(ProviderPlugin[FromEnvironment]):
    """An address of the administrator's."""

    settings_type = FromEnvironment
    rules = options.WEBHOOK

    def provider(self, pool: PoolContext) -> Provider:
        from greenroom.machine_providers.webhook import WebhookProvider  # noqa: PLC0415

        return WebhookProvider(pool.options, pool.secrets, pool.call_s, pool.trusted)


def _usable_clouds(setting: str) -> str:
    """Raises SetupError: it is not a JSON object of objects."""
    from greenroom.machine_providers.libcloud import allowed_clouds  # noqa: PLC0415

    allowed_clouds(setting)
    return setting


class LibcloudSettings(FromEnvironment):
    """Settings of the provider `libcloud`."""

    machine_clouds: Annotated[str, AfterValidator(_usable_clouds)] = ""
    """JSON: the drivers of Apache Libcloud that machine pools may use, each with its fixed arguments, for example
    `{"openstack": {"ex_force_auth_url": "https://cloud.example:5000"}}`; empty = the large public clouds."""


class LibcloudPlugin(ProviderPlugin[LibcloudSettings]):
    """The clouds that Apache Libcloud knows."""

    settings_type = LibcloudSettings
    rules = options.LIBCLOUD

    def provider(self, pool: PoolContext) -> Provider:
        from greenroom.machine_providers.libcloud import LibcloudProvider, allowed_clouds  # noqa: PLC0415

        clouds = allowed_clouds(self.settings.machine_clouds)
        return LibcloudProvider(pool.options, pool.secrets, pool.call_s / 2, clouds)


class SimulatedCloudPlugin(ProviderPlugin[FromEnvironment]):
    """Machines that exist in this process alone; those of a pool stay when its settings change."""

    settings_type = FromEnvironment
    rules = options.SIMULATED

    def __init__(self, name: str, settings: FromEnvironment) -> None:
        super().__init__(name, settings)
        self._clouds: dict[str, SimulatedCloud] = {}

    def provider(self, pool: PoolContext) -> Provider:
        return SimulatedProvider(self._clouds.setdefault(pool.machine_pool_id, SimulatedCloud()))
