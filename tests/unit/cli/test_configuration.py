"""`greenroom config` and `users import`: what they print, what they send, and their exit codes."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from tests.unit.cli.conftest import Done, Pretended, problem

from greenroom.client import Retries

GROUP: dict[str, Any] = {
    "group_id": "6f3c2a52-0000-4000-8000-000000000001",
    "name": "Students",
    "description": "",
    "priority": 50,
    "permissions": [],
    "settings": {"run_config": {"environment": {"TOKEN": "hidden"}}},
    "images": [],
    "is_system": False,
}
LISTS = (
    "/zones",
    "/filter-policies",
    "/images",
    "/staging-configs",
    "/machine-pools",
    "/webhooks",
    "/agents",
    "/sessions",
)


@pytest.fixture
def deployment(api: Pretended) -> Pretended:
    """A deployment with one group."""
    api.answers |= {("GET", path): [] for path in LISTS} | {("GET", "/groups"): [GROUP]}
    return api


def _file(folder: Path, **sections: Any) -> str:
    path = folder / "greenroom.yaml"
    path.write_text(yaml.safe_dump({"version": 1, **sections}))
    return str(path)


def test_an_export_is_a_private_file_without_secrets(
    deployment: Pretended, greenroom: Callable[..., Done], tmp_path: Path
):
    file = tmp_path / "out.yaml"
    file.touch(0o644)
    assert greenroom("config", "export", "--output", str(file)).code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "hidden" not in file.read_text()
    (group,) = yaml.safe_load(file.read_text())["groups"]
    assert group["settings"] == {"run_config": {"environment": {"TOKEN": {"env": "STUDENTS_TOKEN"}}}}
    assert greenroom("config", "plan", str(file), "--check").out == "The deployment is equal to the document.\n"


def test_a_plan_shows_each_change_with_its_reason(
    deployment: Pretended, greenroom: Callable[..., Done], tmp_path: Path
):
    file = _file(tmp_path, groups=[{"name": "Students", "priority": 20}, {"name": "Staff"}], zones=[])
    done = greenroom("config", "plan", file)
    assert done.out.splitlines() == [
        "~ group Students: 1 field differs from the document.",
        "    priority: 50 → 20",
        "+ group Staff: The deployment does not have it.",
        '    name: "Staff"',
        "Plan: 1 to create, 1 to change, 0 to delete.",
    ]
    assert (done.code, greenroom("config", "plan", file, "--check").code) == (0, 1)
    assert [request.method for request in deployment.asked if request.method != "GET"] == []
    assert greenroom("config", "plan", file, "--json").json["actions"][0] == {
        "action": "update",
        "section": "groups",
        "name": "Students",
        "reason": "1 field differs from the document.",
        "changes": {"priority": {"old": 50, "new": 20}},
        "ended_sessions": [],
    }


def test_apply_sends_the_changes_and_reports_warnings(
    deployment: Pretended, greenroom: Callable[..., Done], tmp_path: Path
):
    path = f"/groups/{GROUP['group_id']}"
    deployment.answers["PATCH", path] = {**GROUP, "warnings": ["No member."]}
    done = greenroom("config", "apply", _file(tmp_path, groups=[{"name": "Students", "settings": {}}]))
    assert deployment.last == ("PATCH", path, {"settings": {"run_config": None}})
    assert done.err.splitlines() == ["Update group Students.", "Warning: No member."]
    assert done.out.endswith("The document is applied: 0 to create, 1 to change, 0 to delete.\n")


def test_apply_with_a_problem_changes_nothing(deployment: Pretended, greenroom: Callable[..., Done], tmp_path: Path):
    file = _file(tmp_path, webhooks=[{"name": "billing"}], groups=[{"name": "Students", "priority": 1}])
    done = greenroom("config", "apply", file, "--json")
    assert done.code == 1
    assert "Nothing was changed. Webhook billing is new and needs `url`, `events`." in done.err
    assert {request.method for request in deployment.asked} == {"GET"}


def test_a_secret_comes_from_its_file(deployment: Pretended, greenroom: Callable[..., Done], tmp_path: Path):
    (tmp_path / "token").write_text("new\n")
    path = f"/groups/{GROUP['group_id']}"
    deployment.answers["PATCH", path] = GROUP
    variables = {"environment": {"TOKEN": {"file": str(tmp_path / "token")}}}
    group = {"name": "Students", "settings": {"run_config": variables}}
    done = greenroom("config", "apply", _file(tmp_path, groups=[group]))
    assert deployment.last == ("PATCH", path, {"settings": {"run_config": {"environment": {"TOKEN": "new"}}}})
    assert 'settings.run_config.environment.TOKEN: "(secret)" → "(secret)"' in done.out


def test_the_schema_needs_no_deployment(greenroom: Callable[..., Done]):
    plain, one_line = greenroom("config", "schema"), greenroom("config", "schema", "--json")
    assert json.loads(plain.out) == one_line.json
    assert set(one_line.json["$defs"]["Zone"]["properties"]) >= {"zone_name", "search_alternate_zones"}


@pytest.fixture
def users(api: Pretended) -> Pretended:
    groups = [{"name": name, "group_id": f"id of {name}"} for name in ("All Users", "Staff")]
    api.answers |= {("GET", "/groups"): groups, ("GET", "/users"): []}
    return api


def test_an_import_without_errors_creates_each_user_in_one_request(
    users: Pretended, greenroom: Callable[..., Done], tmp_path: Path
):
    (tmp_path / "users.csv").write_text("username,groups\nada,Staff\n")
    users.answers["POST", "/users"] = {"user_id": "new"}
    planned = greenroom("users", "import", str(tmp_path / "users.csv"), "--dry-run", "--json")
    assert planned.json["changes"] == [{"line": 2, "username": "ada", "action": "create", "fields": ["groups"]}]
    assert {request.method for request in users.asked} == {"GET"}
    assert greenroom("users", "import", str(tmp_path / "users.csv")).code == 0
    assert users.last == ("POST", "/users", {"username": "ada", "groups": ["id of All Users", "id of Staff"]})


def test_an_import_of_many_users_shows_its_progress(users: Pretended, greenroom: Callable[..., Done], tmp_path: Path):
    (tmp_path / "users.csv").write_text("username\n" + "".join(f"user-{n}\n" for n in range(450)))
    users.answers["POST", "/users"] = {"user_id": "new"}
    done = greenroom("users", "import", str(tmp_path / "users.csv"))
    assert done.code == 0, done.err
    created = [json.loads(each.content)["username"] for each in users.asked if each.method == "POST"]
    assert sorted(created) == sorted(f"user-{n}" for n in range(450))
    assert [line for line in done.err.splitlines() if " of " in line] == ["200 of 450 users", "400 of 450 users"]


def test_an_import_reports_each_refused_line_and_applies_the_others(
    users: Pretended, greenroom: Callable[..., Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("greenroom.cli.configuration.users.PARALLEL", 1)  # the answers have an order
    (tmp_path / "users.csv").write_text("username,error\nada,\nbob,The name is taken.\ncy,\n")
    made = httpx.Response(201, json={"user_id": "new"})
    users.answers["POST", "/users"] = [made, problem(422, "invalid", "The password is too short."), made]
    done = greenroom("users", "import", str(tmp_path / "users.csv"), "--json")
    assert (done.code, [change["username"] for change in done.json["changes"]]) == (1, ["ada", "cy"])
    assert done.json["errors"] == [{"line": 3, "message": "The password is too short. (invalid)"}]
    assert "users.csv:3: The password is too short." in done.err


@pytest.mark.parametrize(("code", "is_sent"), [("unavailable", False), ("busy", True)])
def test_an_import_ends_if_the_database_of_the_server_is_away(
    users: Pretended,
    greenroom: Callable[..., Done],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    *,
    is_sent: bool,
):
    monkeypatch.setattr("greenroom.cli.configuration.users.PARALLEL", 1)
    monkeypatch.setattr("greenroom.cli.client.RETRIES", Retries(attempts=1, first_wait_s=0))
    (tmp_path / "users.csv").write_text("username\nada\nbob\n")
    made = httpx.Response(201, json={"user_id": "new"})
    users.answers["POST", "/users"] = [problem(503, code, "Try again later."), made]
    done = greenroom("users", "import", str(tmp_path / "users.csv"))
    assert (done.code, "users.csv:2: Try again later." in done.err) == (1, True)
    assert ("users.csv:3: Not sent, because the server does not answer." not in done.err) is is_sent


def test_the_dry_run_of_an_import_reports_a_password_that_the_api_would_refuse(
    users: Pretended, greenroom: Callable[..., Done], tmp_path: Path
):
    (tmp_path / "users.csv").write_text("username,password\nada,fifteen letters\n")
    users.answers["GET", "/settings"] = [{"name": "min_password_length", "value": 16}]
    done = greenroom("users", "import", str(tmp_path / "users.csv"), "--dry-run")
    assert (done.code, "users.csv:2: The password must have at least 16 characters." in done.err) == (1, True)


def test_an_import_without_the_minimum_length_of_passwords_says_so(
    users: Pretended, greenroom: Callable[..., Done], tmp_path: Path
):
    (tmp_path / "users.csv").write_text("username,password\nada,fine mud\n")
    users.answers["GET", "/settings"] = problem(403, "forbidden", "You may not read the settings.")
    done = greenroom("users", "import", str(tmp_path / "users.csv"), "--dry-run")
    assert (done.code, "checked for 8 characters only" in done.err) == (0, True)


def test_an_import_with_an_invalid_line_changes_nothing(
    users: Pretended, greenroom: Callable[..., Done], tmp_path: Path
):
    (tmp_path / "users.csv").write_text("username,groups\nada,Staff\nbob,Unknown\ncy,Unknown\n")
    done = greenroom("users", "import", str(tmp_path / "users.csv"))
    assert done.code == 1
    message = "There is no group Unknown; separate several groups with ';'."
    assert [line.rpartition("/")[2] for line in done.err.splitlines()[1:]] == [
        f"users.csv:3: {message}",
        f"users.csv:4: {message}",
    ]
    assert {request.method for request in users.asked} == {"GET"}
