"""The requirements of every runtime, on Pods: the suite of tests/host, without the parts that Kubernetes does not
have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
from tests.host import test_runtime_conformance as suite
from tests.kubernetes.sessions_host import Namespace
from tests.support.kubernetes.cluster import Cluster
from tests.support.runtime_hosts import OPENBOX, Host, new_id, spec, usable

from greenroom.runtimes.contract import (
    BuildHost,
    HostDisk,
    HostRuntime,
    ImageMissing,
    PullError,
    SharedKernel,
    StartError,
)

PODS_DO_NOT_STOP: Final = "the test stops or pauses the session, which a Pod does not support"
NODES_HAVE_IMAGES: Final = "nodes store the images and pull them when a Pod starts; tested below"
NO_BUILDS: Final = "the runtime builds no images"
NOT_HERE: Final = {
    "test_stopping_keeps_the_container_and_it_can_start_again": PODS_DO_NOT_STOP,
    "test_pausing_and_going_on": PODS_DO_NOT_STOP,
    "test_a_paused_session_can_be_stopped": PODS_DO_NOT_STOP,
    "test_usable_once_something_is_painted_and_not_when_stopped": PODS_DO_NOT_STOP,
    "test_a_picture_of_the_screen_is_a_jpeg_that_fits": PODS_DO_NOT_STOP,
    "test_an_image_that_is_not_there_is_named": NODES_HAVE_IMAGES,
    "test_an_image_that_is_there": NODES_HAVE_IMAGES,
    "test_an_image_is_made_here_with_its_labels_and_size": NO_BUILDS,
    "test_an_instruction_that_fails_is_an_error_with_what_was_said": NO_BUILDS,
    "test_builds_on_a_host_run_one_after_another": NO_BUILDS,
}
"""Test of the suite → the reason why it does not apply."""

pytestmark = suite.pytestmark
_ALL: Final = {name: test for name, test in vars(suite).items() if name.startswith("test_")}
globals().update({name: test for name, test in _ALL.items() if name not in NOT_HERE})


@pytest.fixture
def images(openbox_image: str, never_paints_image: str, filter_image: str) -> tuple[str, ...]:
    """The images of the suite."""
    return openbox_image, never_paints_image, filter_image


@pytest.fixture
async def host(kubernetes: Cluster, namespace: str, tmp_path: Path, images: tuple[str, ...]) -> AsyncIterator[Host]:
    kubernetes.load_image(*images)
    host = Namespace(kubernetes, namespace, tmp_path)
    yield host
    await host.close()


@pytest.fixture
async def runtime(host: Host) -> HostRuntime:
    return await host.open()


async def test_the_runtime_reports_no_function_that_it_lacks(runtime: HostRuntime):
    assert NOT_HERE.keys() <= _ALL.keys()
    assert not any(isinstance(runtime, kind) for kind in (BuildHost, HostDisk, SharedKernel))
    assert not (await runtime.capacity()).can_pause


async def test_a_stop_and_a_pause_are_refused_and_change_nothing(host: Host, runtime: HostRuntime):
    session_id, wanted, started = await host.started(runtime)
    for call in (runtime.stop, runtime.pause, runtime.unpause):
        with pytest.raises(StartError, match="until they are deleted"):
            await call(session_id)
    assert await runtime.inspect(session_id) == started
    await usable(runtime, started.address, wanted)
    assert started.address is not None
    assert (await runtime.screenshot(started.address, wanted, 60, 60))[:2] == b"\xff\xd8"


async def test_an_image_that_no_node_gets_is_named(runtime: HostRuntime):
    name = "127.0.0.1:9/greenroom/nothing:1"
    session_id = new_id()
    await runtime.create(session_id, spec(name))
    starting = asyncio.create_task(runtime.start(session_id))
    with pytest.raises(PullError, match="nothing:1"):
        async for _ in runtime.pull(name):
            pass
    with pytest.raises(ImageMissing, match="nothing:1"):
        await starting
    assert await runtime.image(name) is None


async def test_an_image_that_a_node_has_got_is_there(runtime: HostRuntime):
    assert [progress async for progress in runtime.pull(OPENBOX)] == [0, 100]
    found = await runtime.image(OPENBOX)
    assert found is not None
    assert found.digest.startswith("sha256:")
    assert [image.name for image in await runtime.images()] == [OPENBOX]
