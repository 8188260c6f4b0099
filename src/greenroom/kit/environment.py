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
from greenroom.core.text import error_text
from greenroom.kit import log, plugins
from greenroom.kit.config import AgentConfig, ApiConfig, FromEnvironment, GatewayConfig, ManagerConfig, ProcessConfig

PREFIX: Final = "GREENROOM_"
ROLE_SETTINGS: Final = (ApiConfig, ManagerConfig, AgentConfig, GatewayConfig)
OTHER_VARIABLES: Final = frozenset(
    PREFIX + name
    for name in (
        *("CONFIG", "DATA", "DESKTOP_IMAGE", "JOIN_TOKEN", "KEY", "READY_WITHIN_S", "SECRET", "URL"),
        "KUBERNETES",  # script/kubernetes
    )
)
"""Variables that Greenroom reads, but that are not settings of a role or a plug-in."""
COMPOSE_VARIABLES: Final = frozenset(
    PREFIX + name
    for name in (
        *("DATABASE", "DATABASE_LISTEN", "DATABASE_PORT", "DOCKER_SOCKET", "FURTHER_HOSTS", "HOSTNAME", "LISTEN"),
        *("MANAGER_GATEWAY_PORT", "PORT", "SECOND_MANAGER_GATEWAY_PORT", "SECOND_MANAGER_PORT", "STREAM_PORT"),
    )
)
"""Variables that only Docker Compose reads, in deploy/compose/.env."""

_logger = structlog.get_logger(__name__)

Settings = TypeVar("Settings", bound=FromEnvironment)
Config = TypeVar("Config", bound=ProcessConfig)


def _setting_keys_of(kinds: Iterable[type[FromEnvironment]]) -> set[str]:
    return {name for kind in kinds for name in kind.model_fields}


def _variables(keys: Iterable[str]) -> set[str]:
    return {PREFIX + key.upper() for key in keys}


def setting_keys() -> set[str]:
    """Return the keys of the settings of all roles and installed plug-ins, as in the TOML file."""
    return _setting_keys_of((*ROLE_SETTINGS, *plugins.settings_types()))


def known_variables() -> set[str]:
    """Return every `GREENROOM_*` variable that a program of Greenroom reads."""
    return _variables(setting_keys()) | OTHER_VARIABLES


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Return a sentence for each `GREENROOM_*` variable that no program reads."""
    names = _variables_without_role(environment)
    known_names = known_variables() if names else set[str]()
    unknown = sorted(name for name in names if name not in known_names)
    return [
        f"{'Only Docker Compose' if name in COMPOSE_VARIABLES else 'No program'} reads the variable "
        f"{name}{_suggestion(name, known_names)}."
        for name in unknown
    ]


def _variables_without_role(environment: Mapping[str, str]) -> list[str]:
    """Return the `GREENROOM_*` variables that no role reads. Only if there are such variables, the caller searches for
    plug-ins, which takes time.
    """
    role_variables = _variables(_setting_keys_of(ROLE_SETTINGS)) | OTHER_VARIABLES
    return [name for name in environment if name.startswith(PREFIX) and name not in role_variables]


def _suggestion(name: str, known_names: Iterable[str]) -> str:
    matches = difflib.get_close_matches(name, sorted(known_names), 1)
    return f"; the most similar name is {matches[0]}" if matches else ""


def configure_role(kind: type[Config]) -> Config:
    """Read the settings of one role, set up its log, and log a warning for variables that no program reads. Raises
    SetupError: as for `load_settings`."""
    config = load_settings(kind)
    require_valid_settings(())
    log.configure(config.log_level, config.process_name)
    for sentence in unknown_variables(os.environ):
        _logger.warning("unknown setting", reason=sentence)
    return config


def load_settings(kind: type[Settings], **values: object) -> Settings:
    """Read the settings of one role or plug-in. `values` replace the settings with the same names. The file may also
    have settings of other roles and plug-ins. Raises SetupError: a setting is missing or has an invalid value, or the
    file has an unknown setting (the message names each); or the file cannot be read."""
    file = os.environ.get("GREENROOM_CONFIG")
    with _as_setup_errors(file):
        _refuse_unknown_keys(file)
        try:
            return kind(**values)
        except ValidationError as error:
            absent = f"; the file {file} of GREENROOM_CONFIG does not exist" if file and not Path(file).exists() else ""
            raise SetupError(f"Invalid settings: {_problems(error.errors())}{absent}") from error


def require_valid_settings(roles: Iterable[type[FromEnvironment]] = ROLE_SETTINGS) -> None:
    """Refuse invalid values of settings. A missing setting is not an error: a command needs only some of the settings.
    Raises SetupError: a value is invalid (the message names each setting), or the file cannot be read."""
    file = os.environ.get("GREENROOM_CONFIG")
    with _as_setup_errors(file):
        plugin_settings = (
            plugins.settings_types() if _variables_without_role(os.environ) or not _has_only_role_keys(file) else []
        )
        problems = dict.fromkeys(problem for kind in (*roles, *plugin_settings) for problem in _invalid_values(kind))
    if problems:
        raise SetupError(f"Invalid settings: {'; '.join(problems)}")


def _invalid_values(kind: type[FromEnvironment]) -> list[str]:
    try:
        kind()
    except ValidationError as error:
        return [_problems([detail]) for detail in error.errors() if detail["type"] != "missing"]
    return []


@contextmanager
def _as_setup_errors(file: str | None) -> Generator[None]:
    try:
        yield
    except SettingsError as error:
        raise SetupError(f"Invalid settings: {error}; its value must be JSON") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SetupError(f"The file {file} of GREENROOM_CONFIG cannot be read: {error}") from error


def _problems(errors: Iterable[Mapping[str, Any]]) -> str:
    return "; ".join(f"{PREFIX}{'_'.join(map(str, error['loc'])).upper()}: {error_text(error)}" for error in errors)


def _read_file(file: str | None) -> dict[str, Any]:
    return tomllib.loads(Path(file).read_text()) if file and Path(file).exists() else {}


def _has_only_role_keys(file: str | None) -> bool:
    """True if the file has only keys of roles, so that no search for plug-ins is necessary."""
    return _read_file(file).keys() <= _setting_keys_of(ROLE_SETTINGS)


def _refuse_unknown_keys(file: str | None) -> None:
    if _has_only_role_keys(file):
        return
    known_names, content = setting_keys(), _read_file(file)
    if unknown := [key for key in content if key not in known_names]:
        if remedy := plugins.installation_hint(plugins.RUNTIMES, str(content.get("runtime"))):
            raise SetupError(remedy)
        names = "; ".join(f"{key}{_suggestion(key.lower().removeprefix('greenroom_'), known_names)}" for key in unknown)
        raise SetupError(f"The file {file} of GREENROOM_CONFIG has settings that do not exist: {names}.")
