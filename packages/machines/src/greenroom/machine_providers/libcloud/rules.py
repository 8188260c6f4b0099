"""The options of a pool of the provider `libcloud`, and the clouds that it may use. This module does not import
Libcloud."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from greenroom.core.errors import SetupError
from greenroom.core.fleet.addresses import AllowedHost
from greenroom.core.fleet.machines.provider import Options, ProviderRules

_OBJECT_OPTIONS: Final = ("arguments", "create")
ARGUMENTS: Final = frozenset({"datacenter", "location", "project", "region", "subscription_id", "tenant_id"})
"""Arguments of a driver that a pool may choose. Addresses of clouds and paths of files are only in the settings of the
Manager."""
_LOCATION_ARGUMENTS: Final = re.compile(r"(?:.*_)?(?:file|host|path|port|secure|uri|url)", re.DOTALL)
"""Matches the names of arguments that lead to another address or read a file."""
_PLAIN_VALUE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
PUBLIC_CLOUDS: Final[Mapping[str, Mapping[str, Any]]] = {
    name: {} for name in ("azure_arm", "digitalocean", "ec2", "gce", "linode", "scaleway", "upcloud", "vultr")
}
"""Driver → its fixed arguments (none), if the setting is empty. Libcloud contains the addresses of these clouds."""


def allowed_clouds(setting: str) -> Mapping[str, Mapping[str, Any]]:
    """Return the drivers of the setting `machine_clouds`, each with its fixed arguments.

    Raises:
        SetupError: it is not a JSON object of objects.
    """
    if not setting.strip():
        return PUBLIC_CLOUDS
    try:
        return msgspec.json.decode(setting, type=dict[str, dict[str, Any]])
    except msgspec.MsgspecError as error:
        raise SetupError(f"GREENROOM_MACHINE_CLOUDS is not a JSON object of drivers and arguments: {error}.") from error


def _options_problem(options: Options, _trusted_hosts: Sequence[AllowedHost]) -> str | None:
    if name := next((name for name in _OBJECT_OPTIONS if not isinstance(options.get(name, {}), Mapping)), None):
        return f"The option {name} must be an object of names and values."
    arguments, create = (options.get(name, {}) for name in _OBJECT_OPTIONS)
    if unknown := sorted(set(arguments) - ARGUMENTS):
        return (
            f"A pool may not choose the argument {unknown[0]} of a driver, only {', '.join(sorted(ARGUMENTS))}; set"
            " other arguments in GREENROOM_MACHINE_CLOUDS of the Managers."
        )
    if locations := sorted(name for name in create if _LOCATION_ARGUMENTS.fullmatch(name.lower())):
        return f"The option create may not have {locations[0]}, which leads to an address or a file."
    if name := next((n for n, v in arguments.items() if not isinstance(v, str) or not _PLAIN_VALUE.fullmatch(v)), None):
        return f"The argument {name} must be a string of letters, digits and ._-."
    return None


LIBCLOUD: Final = ProviderRules(
    required_texts=("driver", "size", "image"), destination_options=("driver", "arguments"), problem=_options_problem
)
"""`driver` and `arguments` select the cloud and its region, and thus also the machines that the driver lists."""
