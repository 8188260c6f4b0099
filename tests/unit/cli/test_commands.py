"""From what is typed to the request, and from the answer to what is printed."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from tests.unit.cli.conftest import Done, Pretended, problem

from greenroom.cli import logs, sessions

Greenroom = Callable[..., Done]

ZONE = "11111111-1111-4111-8111-111111111111"
IMAGE = "22222222-2222-4222-8222-222222222222"
USER = "33333333-3333-4333-8333-333333333333"
GROUP = "44444444-4444-4444-8444-444444444444"
CONFIG = "55555555-5555-4555-8555-555555555555"
AGENT = "66666666-6666-4666-8666-666666666666"
MANAGER = "77777777-7777-4777-8777-777777777777"
SESSION = "88888888-8888-4888-8888-888888888888"

FOUND = {
    ("GET", "/zones"): [{"zone_id": ZONE, "zone_name": "eu"}],
    ("GET", "/images"): [{"image_id": IMAGE, "friendly_name": "Desktop"}],
    ("GET", "/users"): [{"user_id": USER, "username": "ann"}, {"user_id": MANAGER, "username": "anna"}],
    ("GET", "/groups"): [{"group_id": GROUP, "name": "All Users"}],
    ("GET", "/agents/host-1"): {"agent_id": AGENT},
    ("GET", "/managers/manager-1"): {"manager_id": MANAGER},
    ("GET", f"/groups/{GROUP}"): {"group_id": GROUP},
}
"""Things with names, as the api lists them."""

REQUESTS: list[tuple[str, str, str, Any]] = [
    ("zones get eu", "GET", f"/zones/{ZONE}", None),
    ("zones create us --proxy-port 8443", "POST", "/zones", {"zone_name": "us", "proxy_port": 8443}),
    ("zones update eu --zone-name eu1", "PATCH", f"/zones/{ZONE}", {"zone_name": "eu1"}),
    (
        "zones update EU --no-search-alternate-zones",
        "PATCH",
        f"/zones/{ZONE}",
        {"search_alternate_zones": False},
    ),
    ("zones delete eu", "DELETE", f"/zones/{ZONE}", None),
    ("managers enable manager-1", "PATCH", f"/managers/{MANAGER}", {"enabled": True}),
    (f"managers disable {MANAGER}", "PATCH", f"/managers/{MANAGER}", {"enabled": False}),
    ("managers delete manager-1", "DELETE", f"/managers/{MANAGER}", None),
    ("agents enable host-1", "PATCH", f"/agents/{AGENT}", {"enabled": True, "draining": False}),
    ("agents disable host-1", "PATCH", f"/agents/{AGENT}", {"enabled": False}),
    ("agents drain host-1", "PATCH", f"/agents/{AGENT}", {"draining": True}),
    (
        "agents update host-1 --cores-override 2.5 --memory-override null",
        "PATCH",
        f"/agents/{AGENT}",
        {"cores_override": 2.5, "memory_override": None},
    ),
    ("agents delete host-1 --force", "DELETE", f"/agents/{AGENT}?force=true", None),
    (
        "agents join-token --zone eu --uses 3",
        "POST",
        "/join-tokens",
        {"zone_id": ZONE, "uses": 3, "hours": 24},
    ),
    (
        "images create Editor --name editor:1 --cores 0.5 --category Office --category Text --run-config hostname=a",
        "POST",
        "/images",
        {
            "friendly_name": "Editor",
            "name": "editor:1",
            "cores": 0.5,
            "categories": ["Office", "Text"],
            "run_config": {"hostname": "a"},
        },
    ),
    (
        f"images update desktop --memory 1024 --zone null --server {AGENT} --no-enabled",
        "PATCH",
        f"/images/{IMAGE}",
        {"memory": 1024, "zone_id": None, "server_id": AGENT, "enabled": False},
    ),
    (
        "staging create --zone eu --image Desktop --num-sessions 2 --expiration 1.5 --no-allow-kasm-audio",
        "POST",
        "/staging-configs",
        {"zone_id": ZONE, "image_id": IMAGE, "num_sessions": 2, "expiration": 1.5, "allow_kasm_audio": False},
    ),
    (f"staging update {CONFIG} --num-sessions 0", "PATCH", f"/staging-configs/{CONFIG}", {"num_sessions": 0}),
    (f"staging delete {CONFIG}", "DELETE", f"/staging-configs/{CONFIG}", None),
    (f"staging recycle {CONFIG}", "POST", f"/staging-configs/{CONFIG}/recycle", None),
    (f"staging explain {CONFIG} --user ann", "GET", f"/staging-configs/{CONFIG}/explain?user=ann", None),
    (
        "sessions list --user ann --status running --staged --limit 5",
        "GET",
        f"/sessions?user_id={USER}&status=running&staged=true&limit=5",
        None,
    ),
    (
        "sessions launch Desktop --user ann --zone eu --environment A=b --environment N=1",
        "POST",
        "/sessions",
        {"image_id": IMAGE, "user_id": USER, "zone_id": ZONE, "environment": {"A": "b", "N": "1"}},
    ),
    (f"sessions destroy {SESSION}", "DELETE", f"/sessions/{SESSION}", None),
    (f"sessions placement {SESSION}", "GET", f"/sessions/{SESSION}/placement", None),
    (
        "users create bob --first-name Bob --locked",
        "POST",
        "/users",
        {"username": "bob", "first_name": "Bob", "locked": True},
    ),
    (
        "users update ann --groups All\N{NO-BREAK SPACE}Users",
        "PATCH",
        f"/users/{USER}",
        {"groups": [GROUP]},
    ),
    ("users list --q an", "GET", "/users?q=an&limit=1000", None),
    ("users delete ann", "DELETE", f"/users/{USER}", None),
    (
        f'groups update {GROUP} --settings inject_ssh_keys=true --settings {{"idle_disconnect":5}} --settings x=null',
        "PATCH",
        f"/groups/{GROUP}",
        {"settings": {"inject_ssh_keys": True, "idle_disconnect": 5, "x": None}},
    ),
    (
        "keys create reporting --permission sessions_view --read-only",
        "POST",
        "/api-keys",
        {"name": "reporting", "permissions": ["sessions_view"], "read_only": True},
    ),
    ("settings update a=1 b=null c=text", "PATCH", "/settings", {"a": 1, "b": None, "c": "text"}),
    ("logs list --level ERROR --limit 7", "GET", "/logs?level=ERROR&limit=7", None),
    ("logs tail --no-follow -n 3 --code x", "GET", "/logs?code=x&limit=3", None),
]


@pytest.mark.parametrize(("typed", "request_"), [(typed, rest) for typed, *rest in REQUESTS])
def test_what_is_typed_becomes_this_request(
    api: Pretended, greenroom: Greenroom, typed: str, request_: tuple[str, str, Any]
):
    method, path, body = request_
    answer = [] if path.startswith(("/sessions?", "/users?", "/settings", "/logs?")) else {"steps": [], "outcome": "x"}
    api.answers = FOUND | {(method, path.partition("?")[0]): answer}
    if typed.startswith("sessions launch"):
        api.answers[method, path] = {"session_id": SESSION, "connect_url": f"/session/{SESSION}"}
    done = greenroom(*(word.replace("\N{NO-BREAK SPACE}", " ") for word in typed.split(" ")), "--json")
    assert done.code == 0, done.err
    assert api.last == (method, path, body)


def test_members_and_workspaces_of_a_group_change_one_at_a_time(api: Pretended, greenroom: Greenroom):
    path = f"/groups/{GROUP}/users/{USER}"
    api.answers = FOUND | {("PUT", path): httpx.Response(204), ("DELETE", path): httpx.Response(204)}
    assert greenroom("groups", "add-user", "All Users", "ann").code == 0
    assert greenroom("groups", "remove-user", "All Users", "ann").code == 0
    assert [request.method for request in api.asked if request.url.path.endswith(path)] == ["PUT", "DELETE"]


def test_an_empty_value_empties_a_list(api: Pretended, greenroom: Greenroom):
    api.answers = FOUND | {("PATCH", f"/images/{IMAGE}"): {}}
    assert greenroom("images", "update", "Desktop", "--group", "").code == 0
    assert api.last[2] == {"groups": []}


def test_a_secret_can_come_from_stdin(api: Pretended, greenroom: Greenroom, monkeypatch: pytest.MonkeyPatch):
    api.answers = FOUND | {("PATCH", f"/users/{USER}"): {}}
    monkeypatch.setattr("sys.stdin", io.StringIO("a long password\n"))
    assert greenroom("users", "update", "ann", "--password", "-").code == 0
    assert api.last[2] == {"password": "a long password"}


def test_a_refusal_is_exit_code_1_with_the_message_of_the_server(api: Pretended, greenroom: Greenroom):
    sentence = "manager-1 is the last enabled Manager of zone eu; enable another one first."
    api.answers = FOUND | {("PATCH", f"/managers/{MANAGER}"): problem(409, "last-enabled-manager", sentence)}
    done = greenroom("managers", "disable", "manager-1", "--json")
    assert (done.code, done.out) == (1, "")
    assert sentence in done.err
    assert "last-enabled-manager" in done.err


def test_an_answer_that_is_no_problem_document_is_named_by_its_status(api: Pretended, greenroom: Greenroom):
    api.answers = {("GET", "/zones"): httpx.Response(502, text="<html>")}
    done = greenroom("zones", "list")
    assert done.code == 1
    assert "502" in done.err


def test_a_page_that_is_no_json_is_said_to_be_no_deployment(api: Pretended, greenroom: Greenroom):
    api.answers = {("GET", "/zones"): httpx.Response(200, text="<html>")}
    done = greenroom("zones", "list")
    assert done.code == 1
    assert "Greenroom deployment" in done.err


@pytest.mark.parametrize(
    "typed",
    [
        "zones get nowhere",
        "sessions get nothing",
        f"zones get {SESSION}",
        "agents drain nobody",
        "settings get nothing",
    ],
)
def test_an_unknown_id_is_exit_code_1(api: Pretended, greenroom: Greenroom, typed: str):
    api.answers = FOUND | {("GET", "/settings"): []}
    done = greenroom(*typed.split())
    assert done.code == 1
    assert "There is no" in done.err


@pytest.mark.parametrize(
    "typed",
    [
        "zones nothing",
        "zones get",
        "zones update eu",
        "zones update eu --proxy-port many",
        "zones update eu --load-balancing-strategy Random",
        "zones create us --no-such-option",
        "staging create --zone eu",
        "groups update All --settings nothing",
        "groups update All --settings {nothing",
        "logs list --since yesterday",
        "managers update manager-1 --enabled",
        "sessions stop x",
    ],
)
def test_wrong_usage_is_exit_code_2_and_asks_nobody(api: Pretended, greenroom: Greenroom, typed: str):
    done = greenroom(*typed.split())
    assert done.code == 2
    assert not [request for request in api.asked if request.method != "GET"]


def test_a_name_that_several_have_is_refused_with_their_ids(api: Pretended, greenroom: Greenroom):
    api.answers = {("GET", "/api-keys"): [{"key_id": "a1", "name": "ci"}, {"key_id": "a2", "name": "ci"}]}
    done = greenroom("keys", "delete", "ci")
    assert done.code == 1
    assert "a1, a2" in done.err


def test_an_exact_name_goes_before_one_in_other_letters_of_case(api: Pretended, greenroom: Greenroom):
    api.answers = {
        ("GET", "/images"): [
            {"image_id": "a", "friendly_name": "desktop"},
            {"image_id": "b", "friendly_name": "Desktop"},
        ],
        ("GET", "/images/b"): {},
    }
    assert greenroom("images", "get", "Desktop").code == 0
    assert api.last[1] == "/images/b"


def test_a_list_is_read_to_its_last_page(api: Pretended, greenroom: Greenroom):
    more = {"Link": '</api/v1/users?limit=1000&cursor=x>; rel="next"'}
    pages = [httpx.Response(200, json=[{"user_id": "a"}], headers=more), httpx.Response(200, json=[{"user_id": "b"}])]
    api.answers = {("GET", "/users"): pages}
    assert greenroom("users", "list", "--json").json == [{"user_id": "a"}, {"user_id": "b"}]
    assert api.last[1] == "/users?limit=1000&cursor=x"


def test_a_limit_ends_the_reading(api: Pretended, greenroom: Greenroom):
    more = {"Link": '</api/v1/users?limit=1&cursor=x>; rel="next"'}
    api.answers = {("GET", "/users"): [httpx.Response(200, json=[{"user_id": "a"}], headers=more)]}
    assert greenroom("users", "list", "--json", "--limit", "1").json == [{"user_id": "a"}]
    assert len(api.asked) == 1


def test_a_deleted_thing_is_confirmed_in_json(api: Pretended, greenroom: Greenroom):
    api.answers = FOUND | {("DELETE", f"/zones/{ZONE}"): httpx.Response(204)}
    assert greenroom("zones", "delete", "eu", "--json").json == {"zone_id": ZONE, "deleted": True}


def test_a_warning_of_the_server_goes_to_stderr(api: Pretended, greenroom: Greenroom):
    api.answers = FOUND | {("PATCH", f"/managers/{MANAGER}"): {"enabled": False, "warning": "Nobody coordinates eu."}}
    done = greenroom("managers", "disable", "manager-1")
    assert done.code == 0
    assert "Nobody coordinates eu." in done.err


def connection(status: str, *steps: str) -> httpx.Response:
    """`GET /sessions/{id}/connection` with these steps taken, a second apart."""
    shown = [{"name": s, "title": s, "at": f"2026-01-01T00:00:0{n}Z"} for n, s in enumerate(steps)]
    body = {
        "status": status,
        "operational_progress": 10 * len(steps),
        "operational_message": f"{status} it is",
        "steps": [*shown, {"name": "later", "title": "Later", "at": None}],
    }
    return httpx.Response(200, json=body)


@pytest.fixture
def launching(api: Pretended, monkeypatch: pytest.MonkeyPatch) -> Pretended:
    """A deployment that launches; its connection answers are set by the test."""
    monkeypatch.setattr(sessions, "POLL_S", 0.0)
    launched = {"session_id": SESSION, "status": "requested", "connect_url": f"/session/{SESSION}"}
    api.answers = FOUND | {("POST", "/sessions"): launched, ("GET", f"/sessions/{SESSION}"): {"status": "running"}}
    return api


def test_waiting_shows_each_step_once_and_ends_when_the_session_runs(launching: Pretended, greenroom: Greenroom):
    launching.answers["GET", f"/sessions/{SESSION}/connection"] = [
        connection("requested", "Requested"),
        connection("requested", "Requested"),
        connection("starting", "Requested", "Placed"),
        connection("running", "Requested", "Placed", "Ready"),
    ]
    done = greenroom("sessions", "launch", "Desktop", "--wait", "--json")
    assert done.code == 0, done.err
    assert done.json == {
        "session_id": SESSION,
        "status": "running",
        "connect_url": f"https://greenroom.example/session/{SESSION}",
    }
    assert [line.strip() for line in done.err.splitlines()] == ["✓ Requested", "✓ Placed  1.0 s", "✓ Ready  1.0 s"]


def test_waiting_for_a_session_that_fails_is_exit_code_1_with_the_reason(launching: Pretended, greenroom: Greenroom):
    launching.answers["GET", f"/sessions/{SESSION}/connection"] = connection("failed", "Requested")
    done = greenroom("sessions", "launch", "Desktop", "--wait")
    assert done.code == 1
    assert "failed it is" in done.err


def test_waiting_ends_in_time(launching: Pretended, greenroom: Greenroom, monkeypatch: pytest.MonkeyPatch):
    launching.answers["GET", f"/sessions/{SESSION}/connection"] = connection("starting", "Requested")
    clock = iter(range(0, 1000, 100))
    monkeypatch.setattr(sessions.time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(sessions.time, "sleep", lambda _: None)
    with pytest.raises(sessions.ApiError, match="does not run after 150 s: starting it is"):
        sessions.wait_until_running(*_client_and_output(launching), SESSION, 150.0)


def _client_and_output(api: Pretended) -> tuple[Any, Any]:
    class Client:
        def get(self, path: str) -> Any:
            return api.answers["GET", path].json()

    return Client(), sessions.Output.standard(as_json=True)


def test_following_the_log_shows_each_row_once_also_a_late_one(api: Pretended, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(logs, "POLL_S", 0.0)

    def row(number: int, second: int) -> dict[str, Any]:
        return {"log_id": number, "time": f"2026-01-01T00:00:{second:02}+00:00"}

    pages = iter([[row(3, 30), row(2, 20), row(1, 10)], [row(5, 31), row(3, 30)], [row(5, 31), row(4, 29), row(3, 30)]])
    queries: list[dict[str, Any]] = []

    class Client:
        def rows(self, path: str, query: dict[str, Any], limit: int | None = None) -> list[dict[str, Any]]:
            queries.append(query)
            return next(pages)

    rows = logs.follow_rows(Client(), {"level": "INFO"}, 2)  # pyright: ignore[reportArgumentType]
    assert [next(rows)["log_id"] for _ in range(4)] == [2, 3, 5, 4]
    assert queries[1] == {"level": "INFO", "since": "2026-01-01T00:00:20+00:00"}
