"""The providers that come with Greenroom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from greenroom.core.fleet.addresses import AllowedHost
from greenroom.core.fleet.machines.provider import Options, ProviderRules
from greenroom.core.outgoing import url_problem
from greenroom.kit.config import FromEnvironment, comma_parts
from greenroom.machine_providers.contract import Provider
from greenroom.machine_providers.plugin import PoolContext, ProviderPlugin
from greenroom.machine_providers.simulated import SimulatedCloud, SimulatedProvider

TOKEN: Final = "token"  # noqa: S105 -- its name
"""The name of the secret that the provider `webhook` sends as a header."""


def _command_problem(options: Options, _: Sequence[AllowedHost]) -> str | None:
    if Path(options["program"]).is_absolute():
        return None
    return "The option program must be the absolute path of a program in a folder of GREENROOM_MACHINE_COMMANDS."


def _webhook_problem(options: Options, trusted: Sequence[AllowedHost]) -> str | None:
    return url_problem(options["url"], trusted)


def _token_problem(secrets: Mapping[str, str]) -> str | None:
    token = secrets.get(TOKEN, "")
    if token.isascii() and token.isprintable() and token == token.strip():
        return None
    return (
        f"The secret {TOKEN} is sent as a header: it must have only printable ASCII characters, without "
        "spaces at its ends."
    )


COMMAND: Final = ProviderRules(texts=("program",), place=("program",), has_own_options=True, problem=_command_problem)
WEBHOOK: Final = ProviderRules(
    texts=("url",), place=("url",), has_own_options=True, problem=_webhook_problem, secrets_problem=_token_problem
)
SIMULATED: Final = ProviderRules(joins=False)


class CommandSettings(FromEnvironment):
    """Settings of the provider `command`."""

    machine_commands: str = ""
    """Comma list: only programs in these folders are run for machine pools; empty = none."""


class CommandPlugin(ProviderPlugin[CommandSettings]):
    """The provider `command`: a program of the administrator."""

    settings_type = CommandSettings
    rules = COMMAND

    def provider(self, pool: PoolContext) -> Provider:
        from greenroom.machine_providers.command import CommandProvider  # noqa: PLC0415

        folders = [Path(folder) for folder in comma_parts(self.settings.machine_commands)]
        return CommandProvider(pool.options, pool.secrets, folders)


class WebhookPlugin(ProviderPlugin[FromEnvironment]):
    """The provider `webhook`: an address of the administrator."""

    settings_type = FromEnvironment
    rules = WEBHOOK

    def provider(self, pool: PoolContext) -> Provider:
        from greenroom.machine_providers.webhook import WebhookProvider  # noqa: PLC0415

        return WebhookProvider(pool.options, pool.secrets, pool.call_s, pool.trusted)


class SimulatedCloudPlugin(ProviderPlugin[FromEnvironment]):
    """The provider `simulated`: machines that exist only in this process. Those of a pool stay if its
    settings change.
    """

    settings_type = FromEnvironment
    rules = SIMULATED

    def __init__(self, name: str, settings: FromEnvironment) -> None:
        super().__init__(name, settings)
        self._clouds: dict[str, SimulatedCloud] = {}

    def provider(self, pool: PoolContext) -> Provider:
        return SimulatedProvider(self._clouds.setdefault(pool.machine_pool_id, SimulatedCloud()))
