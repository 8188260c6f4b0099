"""A web filter that the runtime runs: the refusals in its output, and the detection of its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest
from tests.support.waiting import eventually

from greenroom.agent.web_filter import policy_squid as subject
from greenroom.agent.web_filter.policy_squid import RuntimePolicySquid, RuntimePolicySquids
from greenroom.core.web_filter import CLOSED_PORT, FILTER_PORT, FilterPolicy
from greenroom.runtimes.contract import FilterNetwork, RuntimeUnavailable

POLICY = FilterPolicy(filter_policy_id="p", name="Strict", allow=("open.test",))
NETWORK = FilterNetwork(policy_id="p", address="10.79.0.5", subnet="all")
REFUSED = "1700000000 10.78.1.5 TCP_DENIED CONNECT ads.test 443"


class Runner:
    """A runtime's part; `lines` are written by Squid, None ends it, an error stands for a lost connection."""

    filter_folder = "/run/filter"

    def __init__(self) -> None:
        self.files: Mapping[str, str] = {}
        self.lines: asyncio.Queue[str | RuntimeUnavailable | None] = asyncio.Queue()

    async def run_filter(self, policy_id: str, files: Mapping[str, str]) -> bool:
        del policy_id
        is_new, self.files = not self.files, files
        return is_new

    async def filter_output(self, policy_id: str) -> AsyncIterator[str]:
        del policy_id
        lines = self.lines
        while (line := await lines.get()) is not None:
            if isinstance(line, RuntimeUnavailable):
                raise line
            yield line


@pytest.fixture
def runner() -> Runner:
    return Runner()


@pytest.fixture
def ended() -> list[bool]:
    return []


@pytest.fixture
def serving(runner: Runner, ended: list[bool]) -> RuntimePolicySquid:
    return RuntimePolicySquids(runner, ("10.0.0.2",), lambda: ended.append(True)).squid_of("p")


async def test_it_listens_everywhere_in_its_pod_and_writes_denials_to_its_output(
    runner: Runner, serving: RuntimePolicySquid
):
    await serving.apply(POLICY, NETWORK)
    lines = runner.files["squid.conf"].splitlines()
    assert [f"http_port {FILTER_PORT}", f"http_port {CLOSED_PORT}"] == [
        line for line in lines if line.startswith("http_port")
    ]
    assert "access_log stdio:/dev/stdout logformat=denials refused" in lines
    assert "dns_nameservers 10.0.0.2" in lines
    assert "acl sessions src all" in lines
    assert "error_directory /run/filter" in lines
    serving.stop_watching()


async def test_refusals_are_read_once_also_after_a_lost_connection(
    runner: Runner, serving: RuntimePolicySquid, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(subject, "RECONNECT_S", 0)
    await serving.apply(POLICY, NETWORK)
    for line in ("FATAL: not a refusal", REFUSED, RuntimeUnavailable("away"), REFUSED):
        runner.lines.put_nowait(line)
    await eventually(runner.lines.empty)
    assert [denial.host for denial in serving.new_denials()] == ["ads.test", "ads.test"]
    assert serving.new_denials() == []
    assert serving.run_id is not None, "nothing is concluded from a lost connection"
    serving.stop_watching()


async def test_an_end_is_reported_and_the_next_run_is_another_one(
    runner: Runner, serving: RuntimePolicySquid, ended: list[bool]
):
    await serving.apply(POLICY, NETWORK)
    first = serving.run_id
    await serving.apply(POLICY, NETWORK)
    assert serving.run_id == first
    runner.lines.put_nowait(None)
    await eventually(lambda: ended == [True])
    assert serving.run_id is None
    await serving.apply(POLICY, NETWORK)
    assert serving.run_id not in {None, first}
    serving.stop_watching()


async def test_a_filter_replaced_before_its_end_was_seen_is_another_run_that_goes_on(
    runner: Runner, serving: RuntimePolicySquid, ended: list[bool]
):
    await serving.apply(POLICY, NETWORK)
    first, of_first = serving.run_id, runner.lines
    runner.files, runner.lines = {}, asyncio.Queue()
    await serving.apply(POLICY, NETWORK)
    assert serving.run_id not in {None, first}
    of_first.put_nowait(None)
    runner.lines.put_nowait(REFUSED)
    await eventually(runner.lines.empty)
    assert [denial.host for denial in serving.new_denials()] == ["ads.test"]
    assert ended == []
    assert serving.run_id is not None
    serving.stop_watching()
