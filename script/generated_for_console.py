"""The modules that the console needs: the titles of settings, the limits of fields, and texts for its catalogs.

They are in git, because the console is built without the types of the api.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from greenroom.api.access.login_routes import ACCOUNT_CHANGED, WRONG_CREDENTIALS
from greenroom.api.access.second_factors import PENDING_ENDED
from greenroom.core import diagnostics
from greenroom.core.access.group_settings import SETTINGS
from greenroom.core.access.permissions import PERMISSIONS
from greenroom.core.access.roles import ROLES
from greenroom.core.installation import INSTALLATION_SETTINGS
from greenroom.core.launch.forecast import LIMIT_REACHED, NOTHING_FITS, USER_REMEDIES
from greenroom.shared import errors

HEADER: Final = "// Written by script/generate_from_api.py from the api: run script/lint --fix.\n\n"
DIAGNOSTICS: Final = Path(diagnostics.__path__[0])
HELP_TITLE: Final = re.compile(r'"((?:Add|Change|Correct|Deliver|Enable|Pull|Show|Stage)\b[^"]*)"')
"""The title of an action in the source, because most titles are arguments of calls."""
PREFIX: Final = "server:"
"""Distinguishes texts of the api from those of the console. `serverText` of web/src/language.ts adds it."""
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


def administrator_texts() -> Iterator[str]:
    """Yield the titles and descriptions of settings, permissions and roles, and the titles of actions that help."""
    for setting in (*INSTALLATION_SETTINGS.values(), *SETTINGS.values()):
        yield from (setting.title, setting.section, setting.description)
    yield from PERMISSIONS.values()
    for role in ROLES.values():
        yield from (role.title, role.description)
    for module in sorted(DIAGNOSTICS.rglob("*.py")):
        yield from HELP_TITLE.findall(module.read_text())


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
