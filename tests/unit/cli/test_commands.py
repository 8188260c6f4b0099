"""Commands: from the typed words to the request, and from the answer to the output."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from tests.unit.cli.conftest import Done, Pretended, problem

Greenroom = Callable[..., Done]

ZONE = "11111111-1111-4111-8111-111111111111"
IMAGE = "22222222-2222-4222-8222-222222222222"
USER = "33333333-3333-4333-8333-333333333333"
GROUP = "44444444-4444-4444-8444-444444444444"
CONFIG = "55555555-5555-4555-8555-555555555555"
AGENT = "66666666-6666-4666-8666-666666666666"
MANAGER = "77777777-7777-4777-8777-777777777777"
MOVED = "99999999-9999-4999-8999-999999999999"
SESSION = "88888888-8888-4888-8888-888888888888"

FOUND = {
    ("GET", "/zones"): [{"zone_id": ZONE, "zone_name": "eu"}],
    ("GET", "/images"): [{"image_id": IMAGE, "friendly_name": "Desktop"}],
    ("GET", "/users"): [{"user_id": USER, "username": "ann"}, {"user_id": MANAGER, "username": "anna"}],
    ("GET", "/groups"): [{"group_id": GROUP, "name": "All Users"}],
    ("GET", "/agents/host-1"): {"agent_id": AGENT},
    ("GET", f"/agents/{MOVED}"): {
        "agent_id": MOVED,
        "edge_url": "https://old:1",
        "edge_url_requested": "https://new:1",
    },
    ("GET", "/managers/manager-1"): {"manager_id": MANAGER},
    ("GET", f"/groups/{GROUP}"): {"group_id": GROUP},
    ("GET", f"/users/{USER}/settings"): [],
}
"""Objects with names, in the format of the api's lists."""

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
    ("users settings ann", "GET", f"/users/{USER}/settings", None),
    (
        "zones update eu --no-proxy-connections --proxy-hostname agents.example --proxy-path screens",
        "PATCH",
        f"/zones/{ZONE}",
        {"proxy_connections": False, "proxy_hostname": "agents.example", "proxy_path": "screens"},
    ),
    ("zones delete eu", "DELETE", f"/zones/{ZONE}", None),
    ("managers enable manager-1", "PATCH", f"/managers/{MANAGER}", {"enabled": True}),
    (f"managers disable {MANAGER}", "PATCH", f"/managers/{MANAGER}", {"enabled": False}),
    ("managers delete manager-1", "DELETE", f"/managers/{MANAGER}", None),
    ("managers delete manager-1 --force", "DELETE", f"/managers/{MANAGER}?force=true", None),
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
        {"zone_id": ZONE, "uses": 3},
    ),
    (
        "agents join-token --zone eu --agent host-1",
        "POST",
        "/join-tokens",
        {"zone_id": ZONE, "agent_id": AGENT},
    ),
    (
        "launches list --outcome failed --user ann",
        "GET",
        f"/launches?user_id={USER}&outcome=failed&limit=1000",
        None,
    ),
    (f"launches get {SESSION}", "GET", f"/launches/{SESSION}", None),
    (f"agents confirm-edge {MOVED}", "PATCH", f"/agents/{MOVED}", {"edge_url": "https://new:1"}),
    (f"agents decline-edge {MOVED}", "PATCH", f"/agents/{MOVED}", {"edge_url": "https://old:1"}),
    ("agents revoke host-1", "DELETE", f"/agents/{AGENT}/credential", None),
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
    (f"staging pause {CONFIG}", "PATCH", f"/staging-configs/{CONFIG}", {"paused": True}),
    (f"staging resume {CONFIG}", "PATCH", f"/staging-configs/{CONFIG}", {"paused": False}),
    (f"staging explain {CONFIG} --user ann", "GET", f"/staging-configs/{CONFIG}/explain?user=ann", None),
    (
        f"staging explain {CONFIG} --user ann --zone eu",
        "GET",
        f"/staging-configs/{CONFIG}/explain?user=ann&zone=eu",
        None,
    ),
    (f"staging history {CONFIG} --limit 5", "GET", f"/staging-configs/{CONFIG}/history?limit=5", None),
    (
        "sessions list --user ann --status running --staged --limit 5",
        "GET",
        f"/sessions?user_id={USER}&status=running&staged=true&limit=5",
        None,
    ),
    (
        "sessions launch Desktop --user ann --environment A=b --environment N=1",
        "POST",
        "/sessions",
        {"image_id": IMAGE, "user_id": USER, "environment": {"A": "b", "N": "1"}},
    ),
    (f"sessions stop {SESSION}", "POST", f"/sessions/{SESSION}/lifecycle-commands", {"command": "stop"}),
    (f"sessions pause {SESSION}", "POST", f"/sessions/{SESSION}/lifecycle-commands", {"command": "pause"}),
    (f"sessions resume {SESSION}", "POST", f"/sessions/{SESSION}/lifecycle-commands", {"command": "resume"}),
    (f"sessions destroy {SESSION}", "DELETE", f"/sessions/{SESSION}", None),
    (f"sessions destroy {SESSION} --force", "DELETE", f"/sessions/{SESSION}?force=true", None),
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
    ("users list --group All\N{NO-BREAK SPACE}Users", "GET", f"/users?group_id={GROUP}&limit=1000", None),
    ("users delete ann", "DELETE", f"/users/{USER}", None),
    ("users disable ann", "PATCH", f"/users/{USER}", {"disabled": True}),
    ("users enable ann", "PATCH", f"/users/{USER}", {"disabled": False}),
    ("users lock ann", "PATCH", f"/users/{USER}", {"locked": True}),
    ("users unlock ann", "PATCH", f"/users/{USER}", {"locked": False}),
    ("users attributes ann", "GET", f"/users/{USER}/attributes", None),
    (
        "users set-attributes ann --preferred-language de --default-image Desktop --preferred-timezone null",
        "PATCH",
        f"/users/{USER}/attributes",
        {"preferred_language": "de", "default_image": IMAGE, "preferred_timezone": None},
    ),
    ("users ssh-key ann", "POST", f"/users/{USER}/ssh-key", None),
    ("users logins ann", "GET", f"/users/{USER}/logins", None),
    ("users logout ann", "DELETE", f"/users/{USER}/logins", None),
    (f"users logout ann --login {SESSION}", "DELETE", f"/users/{USER}/logins/{SESSION}", None),
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
    (f"keys disable {AGENT}", "PATCH", f"/api-keys/{AGENT}", {"enabled": False}),
    (f"keys enable {AGENT}", "PATCH", f"/api-keys/{AGENT}", {"enabled": True}),
    ("settings update a=1 b=null c=text", "PATCH", "/settings", {"a": 1, "b": None, "c": "text"}),
    (
        f"managers requests --status 503 --refused --agent {AGENT} --manager-instance-id manager-1 --limit 7",
        "GET",
        f"/diagnostics/manager-requests?agent_id={AGENT}&status=503&refused=true&manager_instance_id=manager-1&limit=7",
        None,
    ),
    ("logs list --level ERROR --limit 7", "GET", "/logs?level=ERROR&limit=7", None),
    ("logs tail --no-follow -n 3 --code x", "GET", "/logs?code=x&limit=3", None),
]


@pytest.mark.parametrize(("typed", "request_"), [(typed, rest) for typed, *rest in REQUESTS])
def test_what_is_typed_becomes_this_request(
    api: Pretended, greenroom: Greenroom, typed: str, request_: tuple[str, str, Any]
):
    method, path, body = request_
    lists = path.startswith(("/sessions?", "/launches?", "/users?", "/settings", "/logs?", "/diagnostics/")) or (
        method,
        path[-7:],
    ) == (
        "GET",
        "/logins",
    )
    answer: Any = [] if lists else {"steps": [], "outcome": "x"}
    api.answers = FOUND | {(method, path.partition("?")[0]): answer}
    if typed.startswith("sessions launch"):
        api.answers[method, path] = {"session_id": SESSION, "connect_url": f"/session/{SESSION}"}
    done = greenroom(*(word.replace("\N{NO-BREAK SPACE}", " ") for word in typed.split(" ")), "--json")
    assert done.code == 0, done.err
    assert api.last == (method, path, body)


def test_members_and_workspaces_of_a_group_change_one_at_a_time(api: Pretended, greenroom: Greenroom):
    path = f"/groups/{GROUP}/users/{USER}"
    api.answers = FOUND | {("PUT", path): httpx.Response(204), ("DELETE", path): httpx.Response(204)}
    api.answers["GET", f"/groups/{GROUP}"] = {"name": "All Users"}
    assert greenroom("groups", "add-user", "All Users", "ann").out == "The user ann is in the group All Users.\n"
    assert greenroom("groups", "remove-user", "All Users", "ann").out == "The user ann is not in the group All Users.\n"
    assert json.loads(greenroom("groups", "add-user", "All Users", "ann", "--json").out)["name"] == "All Users"
    assert [request.method for request in api.asked if request.url.path.endswith(path)] == ["PUT", "DELETE", "PUT"]


def test_an_empty_value_empties_a_list(api: Pretended, greenroom: Greenroom):
    api.answers = FOUND | {("PATCH", f"/images/{IMAGE}"): {}}
    assert greenroom("images", "update", "Desktop", "--group", "").code == 0
    assert api.last[2] == {"groups": []}


def test_one_message_of_a_webhook_or_all_that_were_given_up_are_replayed(api: Pretended, greenroom: Greenroom):
    path = f"/webhooks/{GROUP}"
    api.answers = {
        ("GET", "/webhooks"): [{"webhook_id": GROUP, "name": "ci"}],
        ("POST", f"{path}/replay"): {"replayed": 2},
        ("POST", f"{path}/deliveries/d/replay"): {"state": "waiting"},
    }
    assert "2" in greenroom("webhooks", "replay", "ci", "--given-up").out
    assert api.last[1].endswith(f"{path}/replay")
    assert greenroom("webhooks", "replay", "ci", "d").code == 0
    assert api.last[1].endswith(f"{path}/deliveries/d/replay")
    for typed in ((), ("d", "--given-up")):
        refused = greenroom("webhooks", "replay", "ci", *typed)
        assert (refused.code, "--given-up" in refused.err) == (2, True)


def test_a_refusal_is_exit_code_1_with_the_message_of_the_server(api: Pretended, greenroom: Greenroom):
    sentence = "manager-1 is the last enabled Manager of zone eu; enable another one first."
    api.answers = FOUND | {("PATCH", f"/managers/{MANAGER}"): problem(409, "last-enabled-manager", sentence)}
    done = greenroom("managers", "disable", "manager-1", "--json")
    assert (done.code, done.out) == (1, "")
    assert sentence in done.err
    assert "last-enabled-manager" in done.err


def test_a_refusal_does_not_act_on_the_terminal(api: Pretended, greenroom: Greenroom):
    api.answers = {("GET", "/zones"): problem(409, "refused", "The group \x1b[2Jstaff\r is in the way.")}
    assert r"The group \u001b[2Jstaff\u000d is in the way." in greenroom("zones", "list").err


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
        "agents drain unknown",
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
        "sessions freeze x",
    ],
)
def test_wrong_usage_is_exit_code_2_and_sends_no_request(api: Pretended, greenroom: Greenroom, typed: str):
    done = greenroom(*typed.split())
    assert done.code == 2
    assert not [request for request in api.asked if request.method != "GET"]


@pytest.mark.parametrize(
    ("typed", "sentence_end"),
    [
        ("launch", "did you mean sessions launch?"),
        ("sesions list", "did you mean sessions"),
        ("users creat", "did you mean create?"),
        ("unknown", "see greenroom --help."),
        ("zones remove", "the commands are list, get, create, update, delete."),
    ],
)
def test_an_unknown_command_is_answered_with_commands_that_exist(greenroom: Greenroom, typed: str, sentence_end: str):
    done = greenroom(*typed.split())
    assert done.code == 2
    assert sentence_end in done.err


def test_a_wrong_time_is_answered_with_the_way_to_write_times(greenroom: Greenroom):
    done = greenroom("logs", "list", "--since", "5 moons")
    assert done.code == 2
    assert "'5 moons' is not a time; specify 10m (ago), 2027-01-31" in " ".join(done.err.replace("│", " ").split())


def test_a_name_that_several_have_is_refused_with_their_ids(api: Pretended, greenroom: Greenroom):
    api.answers = {("GET", "/api-keys"): [{"key_id": "a1", "name": "ci"}, {"key_id": "a2", "name": "ci"}]}
    done = greenroom("keys", "delete", "ci")
    assert done.code == 1
    assert "a1, a2" in done.err


def test_the_first_8_digits_of_an_id_are_enough(api: Pretended, greenroom: Greenroom):
    similar = [f"{CONFIG[:8]}-{number}555-4555-8555-555555555555" for number in (1, 2)]
    api.answers = {
        ("GET", "/staging-configs"): [{"staging_config_id": config_id} for config_id in (CONFIG, MANAGER)],
        ("PATCH", f"/staging-configs/{CONFIG}"): {},
        ("GET", "/machine-orders"): [{"machine_order_id": order_id} for order_id in similar],
    }
    assert greenroom("staging", "update", CONFIG[:8], "--num-sessions", "0").code == 0
    assert api.last == ("PATCH", f"/staging-configs/{CONFIG}", {"num_sessions": 0})
    done = greenroom("machine-orders", "get", CONFIG[:8])
    assert (done.code, ", ".join(similar) in done.err) == (1, True)


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
    api.answers = FOUND | {
        ("PATCH", f"/managers/{MANAGER}"): {"enabled": False, "warning": "No Manager coordinates eu."}
    }
    done = greenroom("managers", "disable", "manager-1")
    assert done.code == 0
    assert "No Manager coordinates eu." in done.err


@pytest.mark.parametrize("counted", [True, False])
def test_a_launch_says_when_the_zone_asked_for_did_not_count(api: Pretended, greenroom: Greenroom, counted: bool):
    api.answers = FOUND | {
        ("POST", "/sessions"): {
            "session_id": SESSION,
            "connect_url": f"/session/{SESSION}",
            "zone_id": ZONE if counted else AGENT,
            "zone_name": "us",
        },
    }
    done = greenroom("sessions", "launch", "Desktop", "--user", "ann", "--zone", "eu", "--json")
    (launched,) = (json.loads(asked.content) for asked in api.asked if asked.method == "POST")
    assert launched == {"image_id": IMAGE, "user_id": USER, "zone_id": ZONE}
    assert (done.code, done.json["session_id"]) == (0, SESSION)
    said = "The session is in zone us, not in the requested zone." in " ".join(done.err.split())
    assert said is not counted
