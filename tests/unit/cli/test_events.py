"""`greenroom events`: the latest events of some topics, or with --follow the new ones."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest
from tests.unit.cli.conftest import Done, Pretended, problem

from greenroom.cli import client
from greenroom.client import Retries

SESSION = 'data: {"topic": "session", "id": "s", "at": "2026-01-02T03:04:05+00:00"}\n\n'
LOGS = 'data: {"topic": "logs", "id": ""}\n\n'
RESYNC = "event: resync\ndata: {}\n\n"
CONNECTED = ": connected\n\n"

Greenroom = Callable[..., Done]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "RETRIES", Retries(attempts=3, first_wait_s=0.0))


def streams(api: Pretended, *texts: str) -> None:
    """Set the texts that successive connections send until they end."""
    api.answers["GET", "/events"] = [httpx.Response(200, text=text) for text in texts]


def test_without_follow_the_last_ones_are_shown(api: Pretended, greenroom: Greenroom):
    streams(api, SESSION + LOGS + CONNECTED + SESSION)
    done = greenroom("events", "-n", "5")
    assert done.code == 0
    assert [line.split()[-2:] for line in done.out.splitlines()] == [["session", "s"], ["logs"]]
    assert api.asked[-1].url.params["last"] == "5"


def test_with_json_each_is_an_object_on_a_line_and_topics_are_chosen(api: Pretended, greenroom: Greenroom):
    streams(api, SESSION + LOGS + CONNECTED)
    done = greenroom("events", "--topic", "session", "--json")
    assert [json.loads(line) for line in done.out.splitlines()] == [
        {"topic": "session", "id": "s", "at": "2026-01-02T03:04:05Z"}
    ]


def test_followed_it_connects_again_says_so_and_ends_with_a_sentence(api: Pretended, greenroom: Greenroom):
    streams(api, CONNECTED + SESSION, CONNECTED + RESYNC + LOGS, CONNECTED)
    done = greenroom("events", "--follow", "--topic", "session", "--json")
    assert [json.loads(line)["topic"] for line in done.out.splitlines()] == ["session", "resync"]
    assert "greenroom: connecting to the events again in " in done.err
    assert done.err.splitlines()[-1].endswith("Connections lost in a row: 3.")
    assert done.code == 1


def test_a_refusal_and_an_unknown_topic_have_the_usual_exit_codes(api: Pretended, greenroom: Greenroom):
    api.answers["GET", "/events"] = problem(403, "forbidden", "No.")
    done = greenroom("events", "--follow")
    assert (done.code, done.err) == (1, "greenroom: No. (forbidden)\n")
    assert greenroom("events", "--topic", "weather").code == 2
