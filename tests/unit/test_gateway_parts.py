"""The nginx that is retired, the reports about its refusals, and the permitted content of its log lines."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from tests.support.processes import free_port

from greenroom.core.errors import SetupError
from greenroom.gateway import nginx as nginx_process
from greenroom.gateway.api_client import MAX_QUEUED, RequestReporter, parse_line
from greenroom.gateway.nginx import Listeners, Nginx, install_configuration, redacted, superseded
from greenroom.kit.processes import ProcessInfo


def nginx(pid: int, parent: int) -> ProcessInfo:
    """A process of nginx; if its parent died, its parent is process 1."""
    return ProcessInfo(pid=pid, name="nginx", parent=parent, is_zombie=False)


def test_the_serving_nginx_and_its_workers_stay():
    processes = [nginx(10, 1), nginx(11, 10), nginx(12, 10)]
    assert superseded(processes, 10) == []


def test_orphaned_workers_get_the_signal_others_from_their_master():
    processes = [
        nginx(10, 1),
        nginx(11, 10),
        nginx(20, 1),  # an old master: it signals its worker
        nginx(21, 20),
        nginx(31, 1),  # an orphan of a killed master
    ]
    assert superseded(processes, 10) == [20, 31]


def test_without_a_master_all_are_of_before():
    assert superseded([nginx(20, 1), nginx(21, 20), nginx(31, 1)], None) == [20, 31]


LINE = {
    "time": 1700000000.5,
    "manager": "m-1",
    "agent_id": "",
    "method": "POST",
    "path": "/manager_api/x",
    "status": 503,
    "duration_s": 0.001,
}


def test_a_line_of_nginx_becomes_a_request():
    request = parse_line(f"<190>Nov 20 08:10:14 greenroom: {json.dumps(LINE)}".encode())
    assert request is not None
    assert (request.at, request.manager, request.agent_id, request.status) == (1700000000.5, "m-1", None, 503)
    assert request.duration_ms == 1.0


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"<190>x",
        b"{",
        b"{}",
        b'{"time": "x"}',
        b"[1]{",
        json.dumps({**LINE, "manager": ""}).encode(),
        json.dumps({**LINE, "agent_id": "-" * 36}).encode(),
    ],
)
def test_anything_else_is_nothing(datagram: bytes):
    assert parse_line(datagram) is None


def test_no_more_than_a_fixed_number_wait_and_the_rest_is_counted(tmp_path: Path):
    reporter = RequestReporter(tmp_path / "requests.sock")
    request = parse_line(json.dumps(LINE).encode())
    assert request is not None
    for _ in range(MAX_QUEUED + 3):
        reporter.add(request)
    assert reporter.unreported_drops == 3


def test_tokens_are_taken_out_of_log_lines():
    line = 'request: "GET /desktop/1a2b3c4d/x/?a=1&token=se-cr_et&b=2 HTTP/1.1", referrer: "https://h/?token=se-cr_et"'
    assert redacted(line) == (
        'request: "GET /desktop/1a2b3c4d/x/?a=1&token=***&b=2 HTTP/1.1", referrer: "https://h/?token=***"'
    )


def test_the_token_of_a_lease_is_in_no_log_line():
    line = 'upstream timed out, request: "GET /desktop/1a2b3c4d/x/lease/aB-9.secret/cdp/json HTTP/1.1", host: "h"'
    assert redacted(line) == (
        'upstream timed out, request: "GET /desktop/1a2b3c4d/x/lease/***/cdp/json HTTP/1.1", host: "h"'
    )


def test_an_address_in_use_is_refused_and_nothing_is_left_open():
    listeners = Listeners()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        free = f"127.0.0.1:{free_port()}"
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(SetupError, match=taken):
            listeners.ensure([free, taken], shares_ports=False)
        assert listeners.descriptors == []
        assert listeners.ensure([free, taken], shares_ports=True)
        assert not listeners.ensure([free, taken], shares_ports=True)
        assert listeners.environment["NGINX"] == "".join(f"{number};" for number in listeners.descriptors)
        listeners.close()


def test_an_unwritable_configuration_leaves_the_one_in_force(tmp_path: Path):
    (tmp_path / "nginx.conf").write_text("the old one")
    (tmp_path / "nginx.conf.new").mkdir()  # cannot be written, like a full disk
    with pytest.raises(SetupError, match="cannot be written and checked"):
        install_configuration(tmp_path, "the new one")
    assert (tmp_path / "nginx.conf").read_text() == "the old one"


async def test_an_nginx_that_cannot_be_started_is_one_that_does_not_serve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def no_process(*_arguments: object, **_options: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(nginx_process.subprocess, "Popen", no_process)
    assert not await Nginx(tmp_path, 0).start(Listeners())
