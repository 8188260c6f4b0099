"""The plugin of the provider `libcloud`, for the api and Managers."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from greenroom.kit.config import FromEnvironment
from greenroom.machine_providers.contract import Provider
from greenroom.machine_providers.libcloud.rules import LIBCLOUD, allowed_clouds
from greenroom.machine_providers.plugin import PoolContext, ProviderPlugin


def _validate_clouds(setting: str) -> str:
    """Return the setting if it is valid. Raises SetupError: it is not a JSON object of objects."""
    allowed_clouds(setting)
    return setting


class LibcloudSettings(FromEnvironment):
    """Settings of the provider `libcloud`."""

    machine_clouds: Annotated[str, AfterValidator(_validate_clouds)] = ""
    """JSON: the drivers of Apache Libcloud that machine pools may use, each with its fixed arguments, for example
    `{"openstack": {"ex_force_auth_url": "https://cloud.example:5000"}}`; empty = the large public clouds."""


class LibcloudPlugin(ProviderPlugin[LibcloudSettings]):
    """The clouds that Apache Libcloud supports."""

    settings_type = LibcloudSettings
    rules = LIBCLOUD

    def provider(self, pool: PoolContext) -> Provider:
        from greenroom.machine_providers.libcloud.provider import LibcloudProvider  # noqa: PLC0415

        clouds = allowed_clouds(self.settings.machine_clouds)
        # the creation of a machine sends two requests, each with this time limit
        return LibcloudProvider(pool.options, pool.secrets, pool.call_timeout_s / 2, clouds)
