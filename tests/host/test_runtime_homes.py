"""The requirements of a runtime with homes (`Homes` in runtimes.contract), on the simulated host and with Docker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.runtime_hosts import Host, new_id, spec

from greenroom.core.workspace.homes import HomeId
from greenroom.core.workspace.session_spec import Mount, SessionSpec
from greenroom.core.workspace.volumes import HOME
from greenroom.runtimes.contract import HomeInUseError, HostRuntime, StoredHome

pytestmark = pytest.mark.usefixtures("openbox_image")


@pytest.fixture(params=["simulated", pytest.param("docker", marks=pytest.mark.docker)])
async def host(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Host]:
    host = Host(request.param, tmp_path)
    yield host
    await host.close()


@pytest.fixture
async def runtime(host: Host) -> HostRuntime:
    return await host.open()


def homed(home: HomeId) -> SessionSpec:
    return spec(mounts=(Mount(source=home.source, target=HOME, profile="Enabled"),))


async def test_a_home_outlives_its_session_is_measured_and_is_removed_whole(host: Host, runtime: HostRuntime):
    home, other, session_id, removal_id = HomeId(new_id(), new_id()), HomeId(new_id(), new_id()), new_id(), new_id()
    assert await runtime.homes.list() == []
    assert await runtime.homes.measure(home) is None
    await runtime.create(session_id, homed(home))
    await runtime.create(second := new_id(), homed(other))
    assert await runtime.homes.in_use() == {home: session_id, other: second}
    with pytest.raises(HomeInUseError, match=session_id):
        await runtime.homes.remove(home, removal_id)
    await runtime.remove(session_id)
    assert {kept.home for kept in await runtime.homes.list()} == {home, other}
    size = await runtime.homes.measure(home)
    assert size is not None
    assert size.size_bytes >= 0
    await runtime.homes.remove(home, removal_id)
    await runtime.homes.remove(home, removal_id)
    assert await runtime.homes.list() == [StoredHome(home=other)]
    assert await (await host.open()).homes.list() == [StoredHome(home=other)]


async def test_a_removal_that_is_repeated_leaves_the_next_home_alone(runtime: HostRuntime):
    home, session_id, removal_id = HomeId(new_id(), new_id()), new_id(), new_id()
    await runtime.create(session_id, homed(home))
    await runtime.remove(session_id)
    await runtime.homes.remove(home, removal_id)
    assert await runtime.homes.list() == []
    await runtime.create(again := new_id(), homed(home))
    with pytest.raises(HomeInUseError, match=again):
        await runtime.homes.remove(home, removal_id)
    assert await runtime.homes.list() == [StoredHome(home=home)]
