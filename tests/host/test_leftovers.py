"""`greenroom doctor --repair` with a real Docker: it removes leftovers, and nothing else."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.runtime_hosts import Host, new_id, spec
from tests.support.system import System

from greenroom.core.errors import GreenroomError
from greenroom.core.session import leftovers as core
from greenroom.db.database import Database
from greenroom.db.installation import installation_id
from greenroom.runtimes.contract import FilterAccount, InstallationObjects
from greenroom.runtimes.docker.filter_networks import network_name
from greenroom.runtimes.docker.spec import ContainerOwner, container_name
from greenroom.runtimes.plugin import Context
from greenroom.runtimes.registry import find_runtime, open_runtime
from greenroom.up.doctor import RepairOutcome, find_leftovers, remove_leftovers

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("openbox_image")]

OVER = "has ended or never existed"


@pytest.fixture
async def stage(db: Database) -> System:
    return await System.populate(db, desired=2)


@pytest.fixture
async def host(stage: System, tmp_path: Path) -> AsyncIterator[Host]:
    host = Host("docker", tmp_path, installation_id=await installation_id(stage.db))
    yield host
    await host.close()


@pytest.fixture
async def things(host: Host, docker_url: str) -> AsyncIterator[InstallationObjects]:
    async with find_runtime("docker", docker_host=docker_url).installation_objects(host.installation_id) as opened:
        yield opened


@pytest.fixture
def everything_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "GRACE_S", -60.0)


async def repair(db: Database, things: InstallationObjects, *, removes: bool = False) -> list[RepairOutcome]:
    return await remove_leftovers(things, await find_leftovers(db, things), removes=removes)


async def of_agent(host: Host, agent_id: str, *session_ids: str, policy: str | None = None) -> None:
    """Create the objects of this Agent on the host: containers, and the network of a web filter."""
    context = Context(installation_id=host.installation_id, agent_id=agent_id, folder=host.folder)
    runtime = open_runtime("docker", context)
    await runtime.open()
    host.opened.append(runtime)  # pyright: ignore[reportArgumentType]
    for session_id in session_ids:
        await runtime.create(session_id, spec())
    if policy is not None:
        await runtime.open_filter_network(policy, FilterAccount(uid=64_998))  # pyright: ignore[reportAttributeAccessIssue]


def there(*names: str) -> set[str]:
    """The existing ones of these containers and networks."""
    found = [
        subprocess.run(["docker", kind, "inspect", name], check=False, capture_output=True).returncode == 0
        for name in names
        for kind in ("container", "network")
    ]
    return {name for number, name in enumerate(names) if any(found[2 * number : 2 * number + 2])}


@pytest.mark.usefixtures("everything_is_old")
async def test_what_belongs_to_nothing_is_listed_then_removed_and_nothing_else(
    stage: System, host: Host, things: InstallationObjects
):
    (living,) = await stage.staged()
    over, elsewhere, foreign, gone, policy = new_id(), new_id(), new_id(), new_id(), new_id()
    await of_agent(host, stage.agent_id, living, over, policy=policy)
    await of_agent(host, gone, elsewhere, policy=policy)
    await (await host.open(installation_id=new_id())).create(foreign, spec())
    identity = [
        ContainerOwner(installation_id=host.installation_id, agent_id=agent) for agent in (stage.agent_id, gone)
    ]
    kept_network, lost_network = (network_name(one, policy) for one in identity)
    all_of_them = {*map(container_name, (living, over, elsewhere, foreign)), kept_network, lost_network}

    listed = await repair(stage.db, things)
    assert {(one.became, one.thing) for one in listed} == {
        ("would be removed", f"container {container_name(over)}"),
        ("would be removed", f"container {container_name(elsewhere)}"),
        ("would be removed", f"network {lost_network}"),
    }
    reasons = {one.thing.rpartition(" ")[2]: one.reason for one in listed}
    assert reasons[container_name(over)] == f"session {over} {OVER}"
    assert reasons[lost_network] == f"its Agent {gone} was deleted"
    assert there(*all_of_them) == all_of_them, "the list alone changed something"

    assert {one.became for one in await repair(stage.db, things, removes=True)} == {"removed"}
    assert there(*all_of_them) == {container_name(living), container_name(foreign), kept_network}
    assert await repair(stage.db, things, removes=True) == []


async def test_what_is_young_stays_with_the_reason(stage: System, host: Host, things: InstallationObjects):
    over = new_id()
    await of_agent(host, stage.agent_id, over)
    (left,) = await repair(stage.db, things, removes=True)
    assert (left.became, left.reason) == ("left", f"session {over} {OVER}; it is younger than 60 s")
    assert there(container_name(over))


@pytest.mark.usefixtures("everything_is_old")
async def test_without_the_database_nothing_is_concluded(stage: System, host: Host, things: InstallationObjects):
    over = new_id()
    await of_agent(host, stage.agent_id, over)
    await stage.db.close()
    with pytest.raises(GreenroomError):
        await repair(stage.db, things, removes=True)
    assert there(container_name(over))
