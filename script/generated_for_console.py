"""The modules that the console needs: the titles of settings, the limits of fields, and texts for its catalogs.

They are in git, because the console is built without the types of the api.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from server_templates import NAME, VALUE, changes_below, log_templates_below, numbered, templates_below

from greenroom.api.access.login_routes import ACCOUNT_CHANGED, WRONG_CREDENTIALS
from greenroom.api.access.second_factors import PENDING_ENDED
from greenroom.api.diagnostics.audit import change_sentence
from greenroom.core.access.group_settings import SETTINGS
from greenroom.core.access.permissions import PERMISSIONS
from greenroom.core.access.roles import ROLES
from greenroom.core.installation import INSTALLATION_SETTINGS
from greenroom.core.launch.forecast import LIMIT_REACHED, NOTHING_FITS, USER_REMEDIES
from greenroom.core.log_codes import LogCode
from greenroom.shared import errors

HEADER: Final = "// Written by script/generate_from_api.py from the api: run script/lint --fix.\n\n"
ROOT: Final = Path(__file__).parents[1]
SERVER: Final = ROOT / "src/greenroom"
IDENTITY: Final = "packages/identity/src/greenroom/identity"
USER_MODULES: Final = (
    "core/access/accounts.py",
    "core/access/second_factors.py",
    "core/diagnostics/why/own.py",
    "core/launch/forecast.py",
    "core/session/progress.py",
    "core/text.py",
    f"{IDENTITY}/refusals.py",
)
"""Modules whose texts the log-in page and the launcher show, in the server or below the repository."""
USER_ERRORS: Final = (
    "api/access/accounts.py",
    "api/access/passkeys.py",
    "api/access/second_factors.py",
    "api/launch",
    "api/session",
)
"""Modules and folders whose errors the log-in page and the launcher show."""
ADMINISTRATOR_MODULES: Final = (
    "api/pool/routes.py",
    "api/workspace/service.py",
    "core/access/group_settings.py",
    "core/access/inherited_settings.py",
    "core/access/setting_checks.py",
    "core/catalogue",
    "core/diagnostics",
    "core/fleet",
    "core/launch",
    "core/lease.py",
    "core/named_secrets.py",
    "core/outgoing.py",
    "core/pool",
    "core/session",
    "core/web_filter.py",
    "core/webhooks.py",
    "core/workspace",
)
"""Modules and folders whose texts the other pages show."""
ADMINISTRATOR_ERRORS: Final = (
    "agent/stream/authorizer.py",
    "api",
    "core/access",
    "core/branding.py",
    "core/installation.py",
    "db",
    "runtimes",
    "sessions",
    "packages/docker/src/greenroom/runtimes/docker",
    f"{IDENTITY}/diagnosis.py",
    f"{IDENTITY}/provider.py",
)
"""Modules and folders whose errors the other pages show."""
LOG_MODULES: Final = (
    "agent",
    "api",
    "db/diagnostics",
    "manager",
    "sessions",
    IDENTITY,
    "packages/cli/src/greenroom/backup",
    "packages/interfaces/src/greenroom/interfaces",
)
"""Folders with modules that write log rows and events of the audit."""
TITLES_OF_CHANGED: Final = {"staging-config": f"{NAME} in zone {NAME} (config {NAME})"}
"""Kind of object → its title in the sentence about a change, if the title is not a name."""
LEFT_OUT: Final = frozenset(
    {
        "became Primary of zone {name0} with term {1} because {2}",
        "is no longer Primary of zone {name0} because {1}",
        "is no longer Primary of zone {name0} with term {1} because {2}",
        "the session of {name0} {1}: {2}",
        "{0} the recording of lease {name1} of {2}",
        "{name0} runs {1} in session {name2} {3}",
        "{name0} {1} session {name2} of {name3}",
    }
)
"""Templates of parts of sentences, or that would match other sentences; `WORDS` has the whole ones."""
NOT_READ: Final = (
    "api/desk/answers.py",
    "api/desk/commands_and_files.py",
    "api/desk/service.py",
    "api/desk/transport.py",
    "api/events.py",
    "api/fleet/internal_routes.py",
    "api/fleet/joining.py",
    "api/lease/egress.py",
    "api/recording/request_recorder.py",
    "core/diagnostics/search.py",
    "core/fleet/addresses.py",
    "core/fleet/enrollment.py",
    "core/fleet/host_limits.py",
    "core/fleet/restarts.py",
    "core/session/leftovers.py",
    "core/webhooks.py",
    "db/connections.py",
    "db/database.py",
    "db/migrate.py",
    "db/notifications.py",
    "db/outages.py",
    "db/restored.py",
    "db/servers.py",
    "db/stored_version.py",
    "db/upgrades.py",
)
"""Modules whose texts are for the log, for programs or for those who operate the hosts."""
USER_WORDS: Final = (
    *("and", "or", "Requested", "Ready", "Stopping", "Pausing", "Deleted"),
    *(
        "requested",
        "assigned",
        "starting",
        "running",
        "stopping",
        "stopped",
        "pausing",
        "paused",
        "deleting",
        "deleted",
    ),
    *("failed", "lost", "unreachable", "waiting", "resumed", "staged", "{number0} day", "{number0} days"),
    *("{number0} hour", "{number0} hours", "{number0} minute", "{number0} minutes", "{number0} of {number1}"),
)
WORDS: Final = (
    *("Agent", "API key", "Cores", "Default", "Desired", "Draining", "Enable", "Enabled", "Free", "Image", "Log"),
    *("Manager", "Memory", "More", "Paused", "Pool", "Primary", "Restriction", "Restricted To", "SCIM client"),
    *("Starting", "Status", "Term", "Value", "Webhook", "Workspace", "Zone", "yes", "no", "none", "elsewhere"),
    *("enabled", "disabled", "missing", "dead", "pending", "draining", "present", "pulling", "absent", "true", "false"),
    *("stop", "pause", "resume", "deny", "allow", "language", "contain", "contains", "denied", "allowed", "waits."),
    *(
        "{number0} Agent",
        "{number0} Agents",
        "{number0} more Agents",
        "{number0} more reasons",
        "{number0} other Agent",
    ),
    *("{number0} other Agents", "{number0} session", "{number0} sessions", "{number0} event", "{number0} events"),
    *("{number0} error", "{number0} errors", "{number0} message", "{number0} messages", "{number0} cores"),
    *("{number0} times", "{number0} load, {number1} session", "{number0} load, {number1} sessions"),
    *("{number0} of {number1} cores", "{number0} webhook", "{number0} pool", "{number0} pools", "{number0} workspace"),
    *("The certificate {name0} ends in {1}.", "The last error: {0}", "It was killed, or ended without an error."),
    *("{0}. Before that: {1}", "On {name0}: {1}", "On its Agent: {0}", "{0}. {1} more to be ordered."),
    *("{0}. The capacity is sufficient.", "{number0} out of date", "zone {name0}", "zone {name0} has no other Agent"),
    "{name0} became Primary of zone {name1} with term {2} because {3}",
    "{name0} is crash-looping: it started {1} times within {2} minutes. {3}",
    "It is crash-looping: it started {0} times within {1} minutes. {2}",
    "{name0} and not on {name1}, where a start failed lately",
    *(
        "it was disabled",
        "{name0} reads the audit",
        "{name0} exports the audit",
    ),
    "There is no session at this address.",
    *("A staged session of zone {name0} was assigned.", "A staged session of zone {name0} was assigned in its place."),
    "{name0} is off for the user and on in the staging config",
    "{name0} is on for the user and off in the staging config",
    "it replaces {name0}, because {1}; placed on {2}",
    "{0} cannot get image {name1}: {2}",
    "{name0} in zone {name1} (pool {2}): {3}",
    "{name0} viewed the recording of lease {name1} of {name2}",
    "{name0} exports the recording of lease {name1} of {name2}",
    *("{name0} reads files of session {name1} of {name2}", "{name0} changes files of session {name1} of {name2}"),
    "{name0} takes screenshots of session {name1} of {name2}",
    "{name0} acts on the desktop of session {name1} of {name2}",
    *("the session of {name0} ends: {1}", "the session of {name0} is stopped: {1}"),
    *("the session of {name0} is paused: {1}", "joined session {name0} from {name1}", "left session {name0}"),
    "{name0} is no longer Primary of zone {name1} because {2}",
    "{name0} is no longer Primary of zone {name1} with term {2} because {3}",
    *("{number0} workspaces", "`{name0}` = {1} from {2}", "username", "{number0} group", "{number0} groups"),
)
"""Words and short texts in facts of decisions and in parts of sentences."""
PREFIX: Final = "server:"
"""Distinguishes texts of the api from those of the console. `serverText` of web/src/serverTexts.ts adds it."""
LIMIT_KEYS: Final = ("type", "minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "maxLength")


def titles_file() -> str:
    """Return the text of the module with the titles of settings."""
    settings = (*INSTALLATION_SETTINGS.values(), *SETTINGS.values())
    lines = "".join(f"  {setting.name}: '{setting.title}',\n" for setting in settings)
    return f"{HEADER}export const SETTING_TITLES: Record<string, string> = {{\n{lines}}};\n"


def texts_file(texts: Iterable[str]) -> str:
    """Return the text of the module with constant texts of the api, for the catalogs of the console. The id of a text
    is the English text after a prefix."""
    messages = {json.dumps(PREFIX + text): json.dumps(text) for text in texts if text}
    lines = "".join(f"  msg({{ id: {key}, message: {text} }}),\n" for key, text in sorted(messages.items()))
    comment = "/** Only for the catalogs: `serverText` finds the translation of a text. */\n"
    imports = "import { msg } from '@lingui/core/macro';\n\n"
    return f"{HEADER}{imports}{comment}export const SERVER_TEXTS = [\n{lines}];\n"


def user_texts() -> Iterator[str]:
    """Yield the reasons of launches, and the messages of log-ins and errors, which all users read."""
    yield from (*USER_REMEDIES.values(), LIMIT_REACHED, NOTHING_FITS, errors.NO_RESOURCES)
    yield from (WRONG_CREDENTIALS, ACCOUNT_CHANGED, PENDING_ENDED)
    for error in vars(errors).values():
        if isinstance(error, type) and issubclass(error, errors.GreenroomError) and error is not errors.NoResources:
            yield " ".join((error.__doc__ or "").split())
    yield from USER_WORDS
    yield from _templates(USER_MODULES, USER_ERRORS)


def administrator_texts() -> Iterator[str]:
    """Yield the titles and descriptions of settings, permissions and roles, and the titles of actions that help."""
    for setting in (*INSTALLATION_SETTINGS.values(), *SETTINGS.values()):
        yield from (setting.title, setting.section, setting.description)
    yield from PERMISSIONS.values()
    for role in ROLES.values():
        yield from (role.title, role.description)
    yield from WORDS
    yield from (_templates(ADMINISTRATOR_MODULES, ADMINISTRATOR_ERRORS) | log_texts()) - set(user_texts())


def log_texts() -> set[str]:
    """Return the templates of log rows and of events of the audit."""
    return {
        text
        for folder in map(_path, LOG_MODULES)
        for text in (*log_templates_below(folder), *_sentences_of_changes(folder))
    } - LEFT_OUT


def _sentences_of_changes(folder: Path) -> Iterator[str]:
    for code_name, name in changes_below(folder):
        code = LogCode[code_name]
        title = TITLES_OF_CHANGED.get(code.rpartition("-")[0], name)
        end = f": {VALUE}" if code.endswith("-changed") else ""
        yield from numbered(change_sentence(NAME, code, title) + end)


def _templates(modules: Iterable[str], errors_of: Iterable[str]) -> set[str]:
    """Return the templates of these modules and folders below `greenroom`."""
    found = (templates_below(_path(name), except_for=NOT_READ) for name in modules)
    raised = (templates_below(_path(name), only_errors=True, except_for=NOT_READ) for name in errors_of)
    return set[str]().union(*found, *raised)


def _path(name: str) -> Path:
    return (ROOT if name.startswith("packages/") else SERVER) / name


def limits_file(api: dict[str, Any]) -> str:
    """Return the text of the module with the limits of the fields of requests that create or change an object. The
    fields of a change are those of a creation, so an object has the limits of its creation if there is one.
    """
    schemas = api["components"]["schemas"]
    parts: list[str] = []
    for name, schema in sorted(schemas.items()):
        is_change = name.endswith("Patch") and name.removesuffix("Patch") + "Create" not in schemas
        if not (is_change or name.endswith("Create")):
            continue
        limits = {field: _limits(part) for field, part in schema["properties"].items()}
        lines = [f"    {field}: {{ {text} }},\n" for field, text in limits.items() if text]
        if lines:
            parts.append(f"  {name}: {{\n{''.join(lines)}  }},\n")
    comment = "/** Schema of a request → field → its limits. */\n"
    return f"{HEADER}{comment}export const LIMITS = {{\n{''.join(parts)}}} as const;\n"


def _limits(schema: dict[str, Any]) -> str:
    """Return the limits of a number or text as the properties of an object; empty if there are none."""
    kind = schema.get("anyOf", [schema])[0]
    if kind.get("type") not in {"integer", "number"} and (kind.get("type") != "string" or "maxLength" not in kind):
        return ""
    values = {key: kind[key] for key in LIMIT_KEYS if key in kind}
    return ", ".join(f"{key}: '{value}'" if key == "type" else f"{key}: {value:.0f}" for key, value in values.items())
