"""Web filters of sessions in Pods, by an Agent, on a network that enforces policies; and on one that does not."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import pytest_asyncio
from tests.small_internet import SmallInternet, small_internet
from tests.support.goes_around import GOES_AROUND
from tests.support.kubernetes.cluster import Cluster
from tests.support.real_agents import agent_inside, manager_of, session_id
from tests.support.runtime_hosts import OPENBOX, new_id
from tests.support.scripted_manager import ScriptedManager, World
from tests.support.scripted_manager import spec as wire_spec
from tests.support.waiting import eventually

from greenroom.core.web_filter import CLOSED_PORT, FILTER_PORT, FilterPolicy
from greenroom.runtimes.kubernetes.filter_manifest import BYPASS_MESSAGE
from greenroom.runtimes.kubernetes.names import object_name
from greenroom.wire.messages import LogLine

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]

STRICT: Final = FilterPolicy(filter_policy_id=new_id(), name="Strict", allow=("open.test",), deny=("ads.open.test",))
RULES_INTERVAL_S: Final = 1.0


@dataclass
class Site:
    """An Agent of a namespace and its Manager."""

    cluster: Cluster
    namespace: str
    folder: Path
    world: World
    manager: ScriptedManager
    resolver: str
    image: str
    agent: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def another_agent(self) -> None:
        """End its process, if there is one, and begin another."""
        await self.agent.aclose()
        settings = {"runtime": "kubernetes", "web_filter_resolvers": self.resolver}
        await self.agent.enter_async_context(agent_inside(self.folder, self.manager, **settings))

    async def begin(self, policy: FilterPolicy | None = STRICT) -> str:
        """Desire a session."""
        made = session_id()
        policy_id = policy.filter_policy_id if policy else None
        wanted = wire_spec(image=OPENBOX, memory_bytes=256 << 20, cores=0.1, filter_policy=policy_id)
        await self.world.want(made, spec=msgspec.to_builtins(wanted))
        return made

    async def running(self, policy: FilterPolicy | None = STRICT) -> str:
        made = await self.begin(policy)
        await self.world.until(lambda: self.world.is_usable(made))
        return made

    async def end(self, session: str) -> None:
        await self.world.want(session, "absent")
        await eventually(lambda: self.are_gone("pods", f"--selector=greenroom.io/session-id={session}"))
        await self.world.drop(session)

    async def follow(self, policy: FilterPolicy, session: str) -> None:
        """Change the policy; the answer to a session's change contains it."""
        self.world.filter_policies = [policy]
        await self.world.want(session)

    async def kubectl(self, *arguments: str) -> str:
        """Run kubectl; the Agent and its Manager continue to run in this process."""
        return await asyncio.to_thread(self.cluster.kubectl, *arguments, f"--namespace={self.namespace}")

    async def names(self, kind: str, *options: str) -> list[str]:
        return (await self.kubectl("get", kind, "--output=name", *options)).split()

    async def are_gone(self, kinds: str, *options: str) -> bool:
        return not await self.names(kinds, *options)

    async def pod(self, *which: str) -> dict[str, Any]:
        return json.loads(await self.kubectl("get", "pod", "--output=json", *which))

    async def squid(self) -> dict[str, Any]:
        """Its only filter's Pod."""
        (pod,) = (await self.pod("--selector=greenroom.part=filter"))["items"]
        return pod

    async def run_of_squid(self) -> str:
        """The id of the run, which changes with each start."""
        return (await self.squid())["status"]["containerStatuses"][0]["containerID"]

    async def inside(self, session: str, *command: str) -> str:
        """The output of a command in the session's container."""
        argv = ["exec", object_name(session), f"--namespace={self.namespace}", "--", *command]
        try:
            return await asyncio.to_thread(self.cluster.kubectl, *argv)
        except RuntimeError as error:
            return str(error)

    async def fetch(self, session: str, url: str) -> str:
        """The body, and `status of the page / status of CONNECT`."""
        return await self.inside(session, "curl", "-sk", "-m", "5", "-w", "\n%{http_code}/%{http_connect}\n", url)

    async def attempts(self, session: str, *lines: list[Any]) -> dict[str, str]:
        return json.loads(await self.inside(session, "python3", "-c", GOES_AROUND, json.dumps(lines)))

    def logged(self, code: str, session: str | None) -> list[LogLine]:
        lines = (line for message in self.world.check_ins for line in message.logs)
        return [line for line in lines if line.code == code and line.session_id == session]


@contextmanager
def reached(internet: SmallInternet, cluster: Cluster) -> Iterator[None]:
    """The reachable addresses, tested from the nodes: a Docker on this machine drops the traffic of other bridges."""
    rules = [(way, cluster.layout.name, at, internet.address) for way, at in (("-i", "-d"), ("-o", "-s"))]
    commands = [["FORWARD", *rule, "-j", "ACCEPT"] for rule in rules]
    for command in commands:
        subprocess.run(["iptables", "-w", "-I", *command], check=True)
    try:
        yield
    finally:
        for command in commands:
            subprocess.run(["iptables", "-w", "-D", *command], check=True)


@pytest.fixture(scope="module")
def internet(kubernetes: Cluster) -> Iterator[SmallInternet]:
    with small_internet() as internet, reached(internet, kubernetes):
        yield internet


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(
    kubernetes: Cluster,
    internet: SmallInternet,
    openbox_image: str,
    filter_image: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Site]:
    kubernetes.load_image(openbox_image)
    world, folder = World(filter_policies=[STRICT]), tmp_path_factory.mktemp("agent")
    with kubernetes.namespace() as namespace, pytest.MonkeyPatch.context() as patch:
        patch.setattr("greenroom.agent.web_filter.filters.RULES_INTERVAL_S", RULES_INTERVAL_S)
        patch.setenv("GREENROOM_KUBE_CONFIG", str(kubernetes.kubeconfig))
        patch.setenv("GREENROOM_KUBE_NAMESPACE", namespace)
        patch.setenv("GREENROOM_KUBE_FILTER_IMAGE", filter_image)
        async with manager_of(world) as manager:
            limits = {"requests.cpu": "16", "requests.memory": "16Gi"}
            quota = {"kind": "ResourceQuota", "metadata": {"name": "desks"}, "spec": {"hard": limits}}
            kubernetes.apply({"apiVersion": "v1", **quota}, namespace=namespace)
            site = Site(kubernetes, namespace, folder, world, manager, internet.address, filter_image)
            await site.another_agent()
            try:
                yield site
            finally:
                await site.agent.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desktop(site: Site) -> str:
    """A session under the policy."""
    return await site.running()


async def until_fetched(site: Site, session: str, url: str, said: str) -> None:
    async def is_fetched() -> bool:
        return said in await site.fetch(session, url)

    await eventually(is_fetched)


async def test_allowed_sites_open_and_a_refusal_is_written_down(site: Site, desktop: str):
    assert "hello from www.open.test /a" in await site.fetch(desktop, "http://www.open.test/a")
    assert "hello from open.test /b" in await site.fetch(desktop, "https://open.test/b")
    page = await site.fetch(desktop, "http://ads.open.test/")
    assert "ads.open.test is blocked" in page
    assert "It is in the deny list of the policy." in page
    assert (await site.fetch(desktop, "https://tracker.ads.open.test/")).endswith("000/403\n")
    tracked: Callable[[], list[LogLine]] = lambda: [  # noqa: E731
        line for line in site.logged("web-filter-denied", desktop) if line.details["host"] == "tracker.ads.open.test"
    ]
    (line,) = await site.world.until(tracked)
    assert "CONNECT tracker.ads.open.test was refused: ads.open.test is in the deny list." in line.message


async def test_programs_know_the_filter_and_cannot_go_around_it(site: Site, internet: SmallInternet, desktop: str):
    variables = dict(line.split("=", 1) for line in (await site.inside(desktop, "env")).splitlines() if "=" in line)
    address = variables["https_proxy"].removeprefix("http://").removesuffix(f":{FILTER_PORT}")
    free = await site.running(None)
    other = (await site.pod(object_name(free)))["status"]["podIP"]
    node = site.cluster.nodes[0].address
    tries: list[list[Any]] = [
        ["tcp", internet.address, 80],
        ["tcp", internet.address, 25],
        ["udp", internet.address, 53],
        ["udp", site.cluster.host, 53],
        ["udp", address, 53],
        ["tcp", site.cluster.host, 6443],
        ["tcp", node, 10250],
        ["tcp", address, CLOSED_PORT],
        ["tcp", (await site.squid())["status"]["podIP"], CLOSED_PORT],
        ["tcp", other, 6901],
        ["tcp", "169.254.169.254", 80],
        ["resolve", "open.test"],
        ["raw"],
    ]
    assert [
        line for line, said in (await site.attempts(desktop, *tries)).items() if not said.startswith("failed")
    ] == []
    assert await site.attempts(desktop, ["tcp", address, FILTER_PORT]) == {
        str(["tcp", address, FILTER_PORT]): "connected"
    }
    possible = [["tcp", internet.address, 25], ["tcp", node, 10250]]
    assert set((await site.attempts(free, *possible)).values()) == {"connected"}, "only the filter was in the way"
    assert "http_proxy" not in await site.inside(free, "env")
    filters = ["tcp", (await site.squid())["status"]["podIP"], FILTER_PORT]
    assert (await site.attempts(free, filters))[str(filters)].startswith("failed"), "a filter is for its own sessions"
    await site.end(free)


async def test_the_filter_itself_leads_nowhere_private(site: Site, internet: SmallInternet, desktop: str):
    """Neither by Squid's rules nor by the network's: a name may resolve differently a moment later."""
    await site.follow(replace(STRICT, default_action="allow"), desktop)
    await until_fetched(site, desktop, f"http://{internet.address}:8080/", "hello")
    for host in (site.cluster.host, site.cluster.nodes[0].address, "169.254.169.254", "host.private.test"):
        assert "leads to a private network" in await site.fetch(desktop, f"http://{host}/"), host
    squid = ["exec", (await site.squid())["metadata"]["name"], f"--namespace={site.namespace}", "--"]
    script = f"exec 3<>/dev/tcp/{site.cluster.host}/6443"
    with pytest.raises(RuntimeError):
        await asyncio.to_thread(site.cluster.kubectl, *squid, "timeout", "2", "bash", "-c", script)
    await site.follow(STRICT, desktop)
    await until_fetched(site, desktop, f"http://{internet.address}:8080/", "403/000")


async def test_a_changed_policy_holds_for_running_sessions_and_cuts_nothing(site: Site, desktop: str):
    before = await site.run_of_squid()
    assert (await site.fetch(desktop, "http://new.test/")).endswith("403/000\n")
    await site.follow(replace(STRICT, allow=("new.test", "open.test")), desktop)
    await until_fetched(site, desktop, "http://new.test/", "hello from new.test")
    await site.follow(STRICT, desktop)
    await until_fetched(site, desktop, "http://new.test/", "403/000")
    assert await site.run_of_squid() == before


async def test_a_lost_squid_is_replaced_at_the_same_address_and_nothing_is_open_meanwhile(
    site: Site, internet: SmallInternet, desktop: str
):
    before = (await site.squid())["metadata"]
    await site.kubectl("delete", "pod", before["name"], "--grace-period=0", "--force")
    direct = await site.attempts(desktop, ["tcp", internet.address, 80])
    assert next(iter(direct.values())).startswith("failed")
    await until_fetched(site, desktop, "http://open.test/", "hello from open.test")
    assert (await site.squid())["metadata"]["uid"] != before["uid"]
    await site.world.until(lambda: site.logged("web-filter-down", None))


async def test_what_someone_takes_away_comes_back(site: Site, desktop: str):
    parts = await site.names("networkpolicies,services")
    assert len(parts) == 3
    await site.kubectl("delete", "networkpolicies,services", "--all")

    async def are_back() -> bool:
        return await site.names("networkpolicies,services") == parts

    await eventually(are_back)
    await until_fetched(site, desktop, "http://open.test/", "hello from open.test")


async def test_a_policy_of_others_that_leads_around_the_filter_is_named(site: Site, desktop: str):
    leaks = (
        f"The NetworkPolicy everything of the namespace {site.namespace} allows sessions under a web filter to bypass"
    )
    leak = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "everything"},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]},
    }
    site.cluster.apply(leak, namespace=site.namespace)
    try:
        await site.world.until(lambda: [one for one in site.logged("web-filter-down", None) if leaks in one.message])
        session = await site.begin()
        await site.world.until(lambda: site.world.state(session) == "failed")
        assert leaks in site.world.observed[session].error
        assert "exclude Pods with the label greenroom.io/web-filter" in site.world.observed[session].error
    finally:
        await site.kubectl("delete", "networkpolicy", "everything")
    await site.end(session)


async def test_where_policies_have_no_effect_a_session_fails_and_says_so(site: Site):
    with site.cluster.without_policies():  # the desktop's filter continues: the network's part is not observed
        session = await site.begin()
        await site.world.until(lambda: site.world.state(session) == "failed")
    assert site.world.observed[session].error == BYPASS_MESSAGE
    await site.end(session)


async def test_the_next_process_takes_the_filter_over_and_removes_it_with_its_last_session(site: Site, desktop: str):
    before = (await site.squid())["metadata"]["uid"]
    await site.another_agent()
    await site.follow(replace(STRICT, allow=("later.test",)), desktop)
    await until_fetched(site, desktop, "http://later.test/", "hello from later.test")
    assert (await site.squid())["metadata"]["uid"] == before
    await site.end(desktop)
    await eventually(lambda: site.are_gone("pods,services,networkpolicies,secrets", "--selector=greenroom.part=filter"))
