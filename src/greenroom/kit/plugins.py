"""Finds plug-ins: parts of Greenroom that installed distributions offer as entry points in their metadata.

A search for entry points reads the metadata of every installed distribution, which takes 15 to 30 ms. Only code that
needs a plug-in searches.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, TypeVar, cast

from greenroom.core.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from importlib.metadata import EntryPoint

    from greenroom.kit.config import FromEnvironment

RUNTIMES: Final = "greenroom.runtimes"
MACHINE_PROVIDERS: Final = "greenroom.machine_providers"
INTERFACES: Final = "greenroom.interfaces"
"""Routers that the api serves in addition to its own."""
SDK_ADAPTERS: Final = "greenroom.sdk_adapters"
"""Routers that the api serves if its setting `sdk_adapters` contains their names."""
API_LOOPS: Final = "greenroom.api_loops"
"""Coroutine functions that the api runs until it stops; the argument is the state of its application."""
LOGIN_CHECKS: Final = "greenroom.login_checks"
"""Coroutine functions (`PasswordCheck` in `api.access.login_routes`) that check the passwords of users elsewhere."""
COMMANDS: Final = "greenroom.commands"
"""Functions that do the work of commands. Few installations need the libraries of these functions."""
RECIPES: Final = "greenroom.recipes"
"""The recipes of the catalogue (`kit.recipes`)."""
WITH_SETTINGS: Final = (RUNTIMES, MACHINE_PROVIDERS)
"""The groups of subclasses of `Plugin`."""
GROUPS: Final = (*WITH_SETTINGS, INTERFACES, SDK_ADAPTERS, API_LOOPS, LOGIN_CHECKS, COMMANDS, RECIPES)
PACKAGE_OF_PLUGIN: Final = {
    (RUNTIMES, "docker"): "greenroom-docker",
    (RUNTIMES, "kubernetes"): "greenroom-kubernetes",
    (MACHINE_PROVIDERS, "libcloud"): "greenroom-machines",
    **{(SDK_ADAPTERS, name): "greenroom-interfaces" for name in ("browserbase", "kernel", "steel")},
    (INTERFACES, "sign_on"): "greenroom-identity",
    (COMMANDS, "mcp"): "greenroom-interfaces",
    (RECIPES, "desktop"): "greenroom-desktop",
}
"""(group, name) of a plug-in outside of the package greenroom → the package of Greenroom that offers it."""

S = TypeVar("S", bound="FromEnvironment")


class Plugin(Generic[S]):
    """The base class of plug-ins with a name and separate settings. Some commands import the module of a plug-in only
    to read the names of its settings. The module must therefore import the libraries of the plug-in inside functions.
    """

    settings_type: ClassVar[type[FromEnvironment]]

    def __init__(self, name: str, settings: S) -> None:
        self.name = name
        self.settings = settings


def plugin_names(group: str) -> list[str]:
    """Return the names of the installed plug-ins of a group."""
    return sorted(_entry_points(group))


def find_plugin(group: str, name: str) -> type[Plugin[Any]] | None:
    """Return the plug-in of this name; None = no installed distribution offers it. Raises SetupError: its module cannot
    be imported, or the object of that name is no plug-in."""
    if (loaded := load_object(group, name)) is None:
        return None
    if not (isinstance(loaded, type) and issubclass(loaded, Plugin)):
        raise SetupError(f"{_offer_text(group, name)}, which is not a plug-in.")
    return cast("type[Plugin[Any]]", loaded)


def installation_hint(group: str, name: str) -> str | None:
    """Return the sentence with the package that offers a plug-in; None = the plug-in is installed, or its package is
    not known.
    """
    package = PACKAGE_OF_PLUGIN.get((group, name))
    return None if package is None or name in _entry_points(group) else not_installed_sentence(f"{name!r} is", package)


def not_installed_sentence(beginning: str, package: str) -> str:
    """Return the sentence about a package that is not installed. `beginning` is the subject and the verb of the
    sentence, such as "The recipes are".
    """
    return f"{beginning} in the package {package}, which is not installed: pip install {package}."


def load_object(group: str, name: str) -> object | None:
    """Return the object of an entry point; None = no installed distribution has it. Raises SetupError: the module
    cannot be imported, or does not contain the object."""
    try:
        return _entry_points(group)[name].load() if name in _entry_points(group) else None
    except (ImportError, AttributeError) as error:
        raise SetupError(f"{_offer_text(group, name)}, which cannot be loaded: {error}.") from error


def command_function(command: str) -> Callable[..., Coroutine[Any, Any, None]]:
    """Return the function that does the work of a command. Raises SetupError: no installed distribution offers it."""
    loaded = load_object(COMMANDS, command)
    if not callable(loaded):
        raise SetupError(installation_hint(COMMANDS, command) or f"No installed package offers the command {command}.")
    return cast("Callable[..., Coroutine[Any, Any, None]]", loaded)


def api_loops() -> dict[str, Callable[[Any], Coroutine[Any, Any, None]]]:
    """Return the loops of the api by their names. Raises SetupError: one is not a function."""
    return _functions(API_LOOPS)


def login_checks() -> list[Callable[..., Coroutine[Any, Any, Any]]]:
    """Return the functions that check passwords elsewhere, by name. Raises SetupError: one is not a function."""
    return list(_functions(LOGIN_CHECKS).values())


def _functions(group: str) -> dict[str, Callable[..., Coroutine[Any, Any, Any]]]:
    functions = {name: load_object(group, name) for name in plugin_names(group)}
    for name, function in functions.items():
        if not callable(function):
            raise SetupError(f"{_offer_text(group, name)}, which is not a function.")
    return cast("dict[str, Callable[..., Coroutine[Any, Any, Any]]]", functions)


def _offer_text(group: str, name: str) -> str:
    entry = _entry_points(group)[name]
    return f"The package {entry.dist.name if entry.dist else '?'} offers {name!r} as {entry.value} ({group})"


def settings_types() -> list[type[FromEnvironment]]:
    """Return the classes of the settings of all installed plug-ins. Raises SetupError: as for `find_plugin`."""
    plugins = [find_plugin(group, name) for group in WITH_SETTINGS for name in plugin_names(group)]
    return [plugin.settings_type for plugin in plugins if plugin is not None]


def distributions() -> list[str]:
    """Return the normalized names of the distributions that offer plug-ins, such as `greenroom-docker`."""
    entries = [entry for group in GROUPS for entry in _entry_points(group).values()]
    return sorted({re.sub(r"[-_.]+", "-", entry.dist.name).lower() for entry in entries if entry.dist})


def clear_cache() -> None:
    """Clear the cache after the installation of another distribution."""
    _entry_points.cache_clear()


@cache
def _entry_points(group: str) -> dict[str, EntryPoint]:
    from importlib import metadata  # noqa: PLC0415 -- most commands need no plug-in

    return {entry.name: entry for entry in metadata.entry_points(group=group)}
