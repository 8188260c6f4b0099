"""A container is resumed, also if Docker shows its former status for a moment."""

from __future__ import annotations

from typing import Any

import aiodocker
import pytest

from greenroom.runtimes.docker.daemon import unpause


class RefusingDocker:
    """A Docker daemon that refuses to resume its container, which has the status `status`."""

    def __init__(self, status: str) -> None:
        self.containers = self
        self._status = status

    def container(self, _name: str) -> RefusingDocker:
        """Return the container."""
        return self

    async def show(self) -> dict[str, Any]:
        """Return Docker's inspection of the container."""
        return {"State": {"Status": self._status}}

    async def unpause(self) -> None:
        """Refuse."""
        raise aiodocker.DockerError(500, "Container a is not paused.")


async def test_a_refused_resume_of_a_container_that_runs_succeeds():
    docker: Any = RefusingDocker("running")
    await unpause(docker, "a")


async def test_a_refused_resume_of_an_ended_container_fails():
    docker: Any = RefusingDocker("exited")
    with pytest.raises(aiodocker.DockerError):
        await unpause(docker, "a")
