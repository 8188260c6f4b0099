"""The errors that the client raises, and its log messages."""

from __future__ import annotations

import logging
import subprocess
import sys
from typing import Any

import httpx
import pytest
from packages.client.tests.leases import LEASE

import greenroom.client
from greenroom.client import Greenroom, Retries, Unreachable
from greenroom.client.errors import BY_CODE, error_from

PLAIN = "<html><center>The plain HTTP request was sent to HTTPS port</center></html>"


def client(*answers: httpx.Response) -> Greenroom:
    """Return a client of a server that returns these answers in order."""
    remaining = iter(answers)
    transport = httpx.MockTransport(lambda _: next(remaining))
    retries = Retries(attempts=len(answers), first_wait_s=0.0)
    return Greenroom("http://desk.example:8443", "key", "secret", transport=transport, retries=retries)


def test_every_error_of_a_code_is_exported():
    modules = ("greenroom.shared.errors", "greenroom.client.errors")
    raised = {kind.__name__ for kind in BY_CODE.values() if kind.__module__ in modules}
    assert raised <= set(vars(greenroom.client))
    assert {"LeaseLimit", "Duplicate", "Held"} <= raised


def test_an_http_address_of_a_tls_port_names_the_https_address():
    with client(httpx.Response(400, text=PLAIN)) as greenroom, pytest.raises(Unreachable) as refused:
        greenroom.request("GET", "/version")
    assert refused.value.message == ("http://desk.example:8443 is served with TLS only. Use https://desk.example:8443.")


def test_an_https_address_of_a_port_without_tls_names_the_cause():
    request = httpx.Request("GET", "https://desk.example")
    error = error_from(httpx.ConnectError("[SSL: WRONG_VERSION_NUMBER] wrong version number", request=request))
    assert error.message.endswith("This port may be served without TLS; check whether the address begins with http://.")


def test_a_repeated_request_is_logged(caplog: pytest.LogCaptureFixture):
    busy, done = httpx.Response(429, headers={"Retry-After": "0"}), httpx.Response(200, json=[])
    with caplog.at_level(logging.INFO, "greenroom.client"), client(busy, done) as greenroom:
        assert greenroom.request("GET", "/zones") == []
    assert caplog.messages == ["GET /api/v1/zones is sent again in 0.0 s, after attempt 1"]


def test_the_library_writes_nothing_where_logging_is_not_set_up():
    program = (
        "import httpx; from greenroom.client import Greenroom, Retries\n"
        "answers = iter([httpx.Response(429, headers={'Retry-After': '1'}), httpx.Response(200, json=[])])\n"
        "transport = httpx.MockTransport(lambda _: next(answers))\n"
        "with Greenroom('http://desk.example', 'k', 's', transport=transport, retries=Retries(attempts=2)) as one:\n"
        "    assert one.request('GET', '/zones') == []\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda one: greenroom.client.Desk(one, LEASE).exec("ls"), "A command must be a list of texts"),
        (lambda one: next(greenroom.client.Desk(one, LEASE).exec_stream("ls")), "A command must be a list of texts"),
        (lambda one: one.lease("Desktop", egress="example.com"), "egress must be a list of texts"),
        (lambda one: one.lease("Desktop", secrets="billing"), "secrets must be a list of texts"),
        (lambda one: one.create_secret("billing", "example.com", "x"), "hosts must be a list of texts"),
    ],
)
def test_a_text_in_place_of_a_list_is_a_type_error(call: Any, words: str):
    with client() as one, pytest.raises(TypeError, match=words):
        call(one)
