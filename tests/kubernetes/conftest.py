"""A Kubernetes of two nodes for the tests of this folder: one for all of them, and a namespace for each that asks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.kubernetes.cluster import Cluster, running_cluster


@pytest.fixture(scope="session")
def kubernetes() -> Iterator[Cluster]:
    """The cluster. Its nodes are shared: a test that cuts a link or kills a program mends it."""
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
def namespace(kubernetes: Cluster) -> Iterator[str]:
    """A namespace of its own for one test."""
    with kubernetes.namespace() as name:
        yield name
