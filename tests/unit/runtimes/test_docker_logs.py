"""The last lines of a container's log, as an Agent passes them on."""

from __future__ import annotations

import pytest

from greenroom.runtimes.contract import CUT_NOTICE, MAX_LOG_CHARACTERS
from greenroom.runtimes.docker.runtime import DockerRuntime

OURS = "11111111-0000-4000-8000-000000000000"


class Talkative:
    """A container that wrote lines of 16 KiB, the longest in Docker's log."""

    @classmethod
    async def of(cls, _session_id: str) -> Talkative:
        """The same container for every session."""
        return cls()

    async def log(self, *, tail: int, **_streams: bool) -> list[str]:
        """The last lines."""
        return ["x" * 16_383 + "\n"] * (tail - 1) + ["the end\n"]


async def test_much_output_does_not_outgrow_its_message(
    monkeypatch: pytest.MonkeyPatch,
):
    runtime = DockerRuntime(OURS, "a", docker_host="unix:///nowhere")
    monkeypatch.setattr(runtime, "_container_of", Talkative.of)
    said = await runtime.logs("s")
    assert len(said) == MAX_LOG_CHARACTERS
    assert said.startswith(CUT_NOTICE)
    assert said.endswith("the end\n")
