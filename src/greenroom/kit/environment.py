"""Reads the settings of a process and checks their names, so that a misspelled setting is not ignored.

An unknown key in the file of GREENROOM_CONFIG is an error. An unknown `GREENROOM_*` variable is a warning, because the
environment may have variables for other programs.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import structlog
from pydantic import ValidationError
from pydantic_settings import SettingsError

from greenroom.core.errors import SetupError
from greenroom.core.text import in_words
from greenroom.kit import log, plugins
from greenroom.kit.config import AgentConfig, ApiConfig, FromEnvironment, GatewayConfig, ManagerConfig, ProcessConfig

PREFIX: Final = "GREENROOM_"
OF_ROLES: Final = (ApiConfig, ManagerConfig, AgentConfig, GatewayConfig)
ELSEWHERE: Final = frozenset(
    PREFIX + name
    for name in (
        *("CONFIG", "DATA", "DESKTOP_IMAGE", "JOIN_TOKEN", "KEY", "READY_WITHIN_S", "SECRET", "URL"),
        # deploy/compose
        *("DATABASE", "DATABASE_LISTEN", "DATABASE_PORT", "DOCKER_SOCKET", "FURTHER_HOSTS", "HOSTNAME", "LISTEN"),
        *("MANAGER_GATEWAY_PORT", "PORT", "SECOND_MANAGER_GATEWAY_PORT", "SECOND_MANAGER_PORT", "STREAM_PORT"),
        "KUBERNETES",  # script/kubernetes
    )
)
"""Variables that are read, but are no settings of a role or a plug-in."""

_logger = structlog.get_logger(__name__)

Settings = TypeVar("Settings", bound=FromEnvironment)
Config = TypeVar("Config", bound=ProcessConfig)


def _keys(kinds: Iterable[type[FromEnvironment]]) -> set[str]:
    return {name for kind in kinds for name in kind.model_fields}


def _variables(keys: Iterable[str]) -> set[str]:
    return {PREFIX + key.upper() for key in keys}


def keys() -> set[str]:
    """Return the names of the settings of all roles and installed plug-ins, in the form of a file."""
    return _keys((*OF_ROLES, *plugins.settings_types()))


def known_variables() -> set[str]:
    """Return every `GREENROOM_*` variable that any program reads."""
    return _variables(keys()) | ELSEWHERE


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Return a sentence for each `GREENROOM_*` variable that no program reads."""
    names = _others(environment)
    known = known_variables() if names else set[str]()
    unknown = sorted(name for name in names if name not in known)
    return [f"No program reads the variable {name}{_or_nearest(name, known)}." for name in unknown]


def _others(environment: Mapping[str, str]) -> list[str]:
    """Return the `GREENROOM_*` variables that no role reads. If there are none, there is no search for plug-ins, which
    takes time.
    """
    of_roles = _variables(_keys(OF_ROLES)) | ELSEWHERE
    return [name for name in environment if name.startswith(PREFIX) and name not in of_roles]


def _or_nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), 1)
    return f"; the most similar name is {near[0]}" if near else ""


def begin(kind: type[Config]) -> Config:
    """Read the settings of one role, set up its log, and log a warning for variables that no program reads.

    Raises:
        SetupError: as for `load`.
    """
    config = load(kind)
    refuse_unusable(())
    log.configure(config.log_level, config.process_name)
    for sentence in unknown_variables(os.environ):
        _logger.warning("unknown setting", reason=sentence)
    return config


def load(kind: type[Settings], **given: object) -> Settings:
    """Read the settings of one role or plug-in; those in `given` are not read. The file may also have settings of
    others.

    Raises:
        SetupError: a setting is missing or cannot be used, or the file has an unknown setting, and the sentence names
            each; or the file cannot be read.
    """
    file = os.environ.get("GREENROOM_CONFIG")
    with _readable(file):
        _refuse_unknown_keys(file)
        try:
            return kind(**given)
        except ValidationError as error:
            absent = f"; the file {file} of GREENROOM_CONFIG does not exist" if file and not Path(file).exists() else ""
            raise SetupError(f"Invalid settings: {_problems(error.errors())}{absent}") from error


def refuse_unusable(roles: Iterable[type[FromEnvironment]] = OF_ROLES) -> None:
    """Refuse values that no role or plug-in could use. A missing setting is no error of a command.

    Raises:
        SetupError: with the names of the settings, or the file cannot be read.
    """
    file = os.environ.get("GREENROOM_CONFIG")
    with _readable(file):
        of_plugins = plugins.settings_types() if _others(os.environ) or not _has_roles_keys_alone(file) else []
        found = dict.fromkeys(problem for kind in (*roles, *of_plugins) for problem in _unusable(kind))
    if found:
        raise SetupError(f"Invalid settings: {'; '.join(found)}")


def _unusable(kind: type[FromEnvironment]) -> list[str]:
    try:
        kind()
    except ValidationError as error:
        return [_problems([one]) for one in error.errors() if one["type"] != "missing"]
    return []


@contextmanager
def _readable(file: str | None) -> Generator[None]:
    try:
        yield
    except SettingsError as error:
        raise SetupError(f"Invalid settings: {error}; its value must be JSON") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SetupError(f"The file {file} of GREENROOM_CONFIG cannot be read: {error}") from error


def _problems(errors: Iterable[Mapping[str, Any]]) -> str:
    return "; ".join(f"{PREFIX}{'_'.join(map(str, e['loc'])).upper()}: {in_words(e)}" for e in errors)


def _content(file: str | None) -> dict[str, Any]:
    return tomllib.loads(Path(file).read_text()) if file and Path(file).exists() else {}


def _has_roles_keys_alone(file: str | None) -> bool:
    """True if the file has only keys of roles. As for variables, there is then no search for plug-ins."""
    return _content(file).keys() <= _keys(OF_ROLES)


def _refuse_unknown_keys(file: str | None) -> None:
    if _has_roles_keys_alone(file):
        return
    known, content = keys(), _content(file)
    if unknown := [key for key in content if key not in known]:
        if remedy := plugins.remedy(plugins.RUNTIMES, str(content.get("runtime"))):
            raise SetupError(remedy)
        named = "; ".join(f"{key}{_or_nearest(key.lower().removeprefix('greenroom_'), known)}" for key in unknown)
        raise SetupError(f"The file {file} of GREENROOM_CONFIG has settings that do not exist: {named}.")
