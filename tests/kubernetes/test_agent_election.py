"""The process that acts for the Agents of a namespace, with a real Lease and real Secrets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from tests.support.kubernetes.cluster import Cluster

from greenroom.agent.standby import TIMINGS, Election, SharedRecord
from greenroom.runtimes.contract import ContainerConflict, RuntimeUnavailable
from greenroom.runtimes.kubernetes.replica_store import NamespaceStore
from greenroom.runtimes.kubernetes.settings import KubernetesSettings

Pair = tuple[NamespaceStore, NamespaceStore]


@pytest.fixture
async def pair(kubernetes: Cluster, namespace: str) -> AsyncIterator[Pair]:
    where = KubernetesSettings(kube_config=kubernetes.kubeconfig, kube_namespace=namespace)
    made = NamespaceStore(where, "desks"), NamespaceStore(where, "desks")
    for one in made:
        await one.open()
    yield made
    for one in made:
        await one.close()


async def test_one_process_acts_until_it_releases_or_loses_the_lease(pair: Pair):
    first, second = (Election(shared, name, "") for shared, name in zip(pair, ("one", "two"), strict=True))
    assert (await first.acquire()).term == 1
    keeping = asyncio.create_task(first.renew_until_lost())
    waiting = asyncio.create_task(second.acquire())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(waiting), TIMINGS.ttl_s + 1)
    assert first.may_act
    keeping.cancel()
    await first.release()
    assert not first.may_act
    async with asyncio.timeout(TIMINGS.ttl_s):
        assert (await waiting).term == 2
    assert pair[0].place_id == pair[1].place_id
    taken = await asyncio.wait_for(first.acquire(), 30)  # the second one stops renewing
    assert taken.term == 3
    assert not second.may_act
    with pytest.raises(RuntimeUnavailable, match="Another process of this Agent may act"):
        second.fence()


async def test_of_two_first_writers_one_is_refused(pair: Pair):
    results = await asyncio.gather(
        *(shared.write("identity", f"{n}".encode(), None) for n, shared in enumerate(pair)), return_exceptions=True
    )
    refused = [result for result in results if isinstance(result, ContainerConflict)]
    assert len(refused) == 1
    kept = await pair[0].read("identity")
    assert kept is not None
    assert kept.content == str(results.index(next(one for one in results if one not in refused))).encode()


async def test_what_was_taken_over_is_written_by_the_successor_alone(pair: Pair):
    """According to the server: also if the previous process does not know yet that its time is over."""
    before, after = (SharedRecord(shared, "journal", lambda: None) for shared in pair)
    assert await before.take_over() is None
    await before.write(b"1")
    assert await after.take_over() == b"1"
    with pytest.raises(RuntimeUnavailable, match="Another process of this Agent acts now"):
        await before.write(b"2")
    await after.write(b"3")
    with suppress(RuntimeUnavailable):
        await before.write(b"4")
    assert await after.read() == b"3"
