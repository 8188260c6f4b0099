"""Every verb of `greenroom` and every tool of MCP changes something only by routes that leave an event of the audit.

Commands that use the database directly are in docs/howto/audit.md (tests/repository/test_audit_page.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import typer
from tests.unit.cli.conftest import Done, Pretended

from greenroom.api.csrf import SAFE_METHODS
from greenroom.api.diagnostics.audit_events import leaves_event
from greenroom.cli.lazy import walk_commands
from greenroom.cli.main import PANELS, app
from greenroom.cli.noun import API
from greenroom.cli.verbs import common_options
from greenroom.interfaces.mcp.tools import TOOLS

ID: Final = "11111111-1111-4111-8111-111111111111"
COMMON: Final = set(common_options.__annotations__) - {"return"}
LOCAL: Final = {
    *(*PANELS["This machine"], *PANELS["Roles of a deployment"], "mcp"),
    *("users break-glass", "users reset-factors", "users reset-password", "audit verify", "config schema"),
}
"""Commands that send no request to a deployment."""
READING: Final = {
    *("list", "get", "placement", "screenshot", "explain", "history", "requests", "preview", "recording"),
    *("attributes", "logins", "settings", "deliveries", "plan", "export", "tail", "verify"),
}
"""Last words of verbs that change nothing."""
TRIALS: Final = {
    "POST /sign-on-providers/{provider_id}/test",
    "POST /directories/{directory_id}/test",
    "POST /directories/{directory_id}/sync/preview",
    "POST /webhooks/{webhook_id}/test",
}
"""Operations that try or preview a configuration, and leave no event."""
ELSEWHERE: Final = {"rehearse": "POST /sessions", "events": "GET /events"}
"""Verbs that wait for events, and are run by other tests; their operation."""
ARGUMENTS: Final = {
    "sessions go": [ID, "https://example.org"],
    "sessions exec": [ID, "true"],
    "settings update": ["a=1"],
    "secrets create": ["token", "--host", "example.org", "--value", "{folder}/secret"],
    "users import": ["{folder}/users.csv"],
    "config apply": ["{folder}/zones.yaml"],
    "config plan": ["{folder}/zones.yaml"],
    "logs tail": ["--no-follow"],
    "webhooks replay": [ID, "--given-up"],
}
"""Arguments of verbs whose values have a special form."""
RECORDED_ACTIONS: Final = "POST /leases/{lease_id}/actions"
"""The operation that leaves no event, because recordings contain the actions of programs."""


OBJECTS: Final[dict[str, Any]] = {
    f"/agents/{ID}": {"edge_url": "https://a:1", "edge_url_requested": "https://b:1"},
    f"/groups/{ID}": {"roles": [{"role": ID}]},
}
"""Path → the fields of an object that a verb changes."""


class EmptyAnswers(dict[Any, Any]):
    """Empty lists and objects, as answers to all other requests."""

    def get(self, key: Any, default: Any = None) -> httpx.Response:
        method, path = key
        is_list = method == "GET" and f"GET {path}" in API
        return httpx.Response(200, json=[] if is_list else OBJECTS.get(path, {}))


def verbs() -> Iterator[tuple[str, Any]]:
    """All commands that send requests to a deployment."""
    for name, command in walk_commands(typer.main.get_command(app)):
        if not hasattr(command, "commands") and not {name, name.split()[0]} & LOCAL and name not in ELSEWHERE:
            yield name, command


def words_of_parameter(parameter: Any) -> list[str]:
    kind = parameter.type_descriptor.annotation
    value = "1" if kind in (int, float) else ID
    if isinstance(kind, type) and issubclass(kind, Enum):
        value = str(next(iter(kind)).value)
    if parameter.param_type_name == "argument":
        return [value]
    return [parameter.opts[0]] if kind is bool else [parameter.opts[0], value]


def words_of(name: str, command: Any, folder: Path) -> list[str]:
    """A call of a verb with its required arguments and options. An update has one more option."""
    if name in ARGUMENTS:
        return [word.format(folder=folder) for word in (*name.split(), *ARGUMENTS[name])]
    used = [each for each in command.params if each.required]
    if name.endswith((" update", " set-attributes")) and len(used) < 2:
        used += [each for each in command.params if not each.required and each.name not in COMMON][:1]
    return [*name.split(), *(word for each in used for word in words_of_parameter(each))]


def operation_of(method: str, path: str) -> str:
    """The operation of the api of a request; one without parameters has priority."""
    if (exact := f"{method} {path}") in API:
        return exact
    patterns = {name: re.sub(r"\\{(\w+)\\}", "[^/]+", re.escape(name)) for name in API}
    return next(name for name, pattern in patterns.items() if re.fullmatch(pattern, exact))


def is_audited(operation: str) -> bool:
    method, _, path = operation.partition(" ")
    return leaves_event(method, f"/api/v1{path}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files that commands read."""
    (tmp_path / "secret").write_text("hidden")
    (tmp_path / "users.csv").write_text("username\nbob\n")
    (tmp_path / "zones.yaml").write_text("version: 1\nzones:\n- zone_name: us\n")
    return tmp_path


def test_every_verb_changes_only_by_one_operation_with_an_event(
    api: Pretended, greenroom: Callable[..., Done], folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(folder)  # a screenshot is written there
    api.answers = EmptyAnswers()
    changing, reading = dict[str, set[str]](), set[str]()
    for name, command in verbs():
        api.asked.clear()
        with suppress(KeyError):  # an empty answer cannot be displayed
            greenroom(*words_of(name, command, folder), "--json")
        assert api.asked, f"{name} sends no request"
        requests = [(asked.method, asked.url.path.removeprefix("/api/v1")) for asked in api.asked]
        operations = {operation_of(*request) for request in requests if request[0] not in SAFE_METHODS}
        if operations:
            changing[name] = operations
        else:
            reading.add(name)
    assert len(changing) > 80
    assert {name for name in reading if name.split()[-1] not in READING} == set(), "they must change something"
    assert {name for name in changing if name.split()[-1] in READING} == set(), "they must change nothing"
    assert {name: found for name, found in changing.items() if len(found) != 1} == {}
    assert {each for found in changing.values() for each in found if not is_audited(each)} == TRIALS
    assert is_audited(ELSEWHERE["rehearse"])


def test_every_tool_of_mcp_changes_only_by_a_route_with_an_event_or_a_recording():
    values = {"path": "a", "content": "", "seconds": 60}
    requests = {tool.name: tool.make_request(ID, values) for tool in TOOLS}
    operations = {
        name: operation_of(sent.method, sent.path.partition("?")[0])
        for name, sent in requests.items()
        if sent.method not in SAFE_METHODS
    }
    assert operations.keys() == {tool.name for tool in TOOLS if not tool.read_only}
    assert {each for each in operations.values() if not is_audited(each)} == {RECORDED_ACTIONS}
