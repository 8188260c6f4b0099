"""Finds an installed runtime by its name (GREENROOM_RUNTIME)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from greenroom.core.errors import SetupError
from greenroom.kit import plugins
from greenroom.kit.environment import load_settings
from greenroom.runtimes.contract import Runtime
from greenroom.runtimes.plugin import Context, RuntimePlugin


def find_runtime(name: str, **settings: object) -> RuntimePlugin[Any]:
    """Return the runtime with this name and its settings. Passed settings are not read from the environment. Raises
    SetupError: there is no such runtime, or its settings cannot be used."""
    plugin = plugins.find_plugin(plugins.RUNTIMES, name)
    installed = plugins.plugin_names(plugins.RUNTIMES)
    if not installed:
        raise SetupError(
            "The metadata of the installed package greenroom lists no runtime: it is missing, or older than the code."
            " Install the package again; in a checkout, run script/up."
        )
    if plugin is None:
        message = f"There is no runtime {name!r}; GREENROOM_RUNTIME is one of {', '.join(installed)}."
        raise SetupError(plugins.installation_hint(plugins.RUNTIMES, name) or message)
    if not issubclass(plugin, RuntimePlugin):
        raise SetupError(f"The runtime {name!r} is not a RuntimePlugin.")
    return plugin(name, load_settings(plugin.settings_type, **settings))


def open_runtime(name: str, context: Context, **settings: object) -> Runtime:
    """Return the runtime `name` for an Agent. The caller must call its `open()` first. Raises SetupError: there is no
    such runtime, or its settings cannot be used.
    """
    return find_runtime(name, **settings).runtime(context)


def preloaded_modules() -> Iterator[str]:
    """Yield the `preloaded_modules` of each installed runtime."""
    for name in plugins.plugin_names(plugins.RUNTIMES):
        plugin = plugins.find_plugin(plugins.RUNTIMES, name)
        if plugin is not None and issubclass(plugin, RuntimePlugin):
            yield from plugin.preloaded_modules
