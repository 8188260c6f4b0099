"""A Kubernetes cluster of two nodes for the tests of this folder, and a namespace for each test that needs one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.acceptance.instance import Instance
from tests.kubernetes.on_pods import instance_on_pods
from tests.support.kubernetes.cluster import Cluster, running_cluster
from tests.support.kubernetes.tools import FILTER, loaded


@pytest.fixture(scope="session")
def kubernetes() -> Iterator[Cluster]:
    """The cluster. Its nodes are shared: a test that cuts a link or kills a program restores it."""
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def filter_image(kubernetes: Cluster) -> str:
    """An image for web filters, on both nodes."""
    return loaded(kubernetes, FILTER)


@pytest.fixture
def namespace(kubernetes: Cluster) -> Iterator[str]:
    """A separate namespace for a test."""
    with kubernetes.namespace() as name:
        yield name


@pytest.fixture(scope="session")
def instance(kubernetes: Cluster, openbox_image: str) -> Iterator[Instance]:
    """`greenroom up` with one Manager and one Agent, whose sessions are Pods; tests leave it healthy."""
    kubernetes.load_image(openbox_image)
    with instance_on_pods(kubernetes, GREENROOM_DESKTOP_IMAGE=openbox_image) as instance:
        yield instance
