"""A pool whose image arrives slowly: the shortfall of its config from the first moment until the pool is full."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Final

import pytest
from tests.acceptance.instance import Instance, running_instance, wait_for
from tests.chaos.slow_link import SlowLink
from tests.support import registry as registries
from tests.support.registry import PASSWORD, USER

LAYER_BYTES: Final = 40_000_000
BYTES_PER_S: Final = 8_000_000
PERCENT: Final = re.compile(r" is still pulling image \S+ \((\d+) %\)")


@pytest.fixture
def instance(openbox_image: str) -> Iterator[Instance]:
    with running_instance(GREENROOM_DESKTOP_IMAGE=openbox_image) as instance:
        yield instance


@pytest.fixture
def link(tmp_path: Path) -> Iterator[SlowLink]:
    """The link to a registry of the test."""
    registry = registries.started(tmp_path / "registry")
    link = SlowLink(int(registry.host.rpartition(":")[2]), BYTES_PER_S)
    yield link
    link.close()
    registry.close()


@pytest.fixture
def image(link: SlowLink, openbox_image: str, tmp_path: Path) -> Iterator[str]:
    """The light desktop with an additional incompressible layer; in the registry, and not on this host."""
    name = f"{link.host}/desks/slow:1"
    (tmp_path / "layer").write_bytes(os.urandom(LAYER_BYTES))
    docker = Docker(tmp_path / "docker")
    container = docker("create", openbox_image)
    try:
        docker("cp", str(tmp_path / "layer"), f"{container}:/opt/layer")
        docker("commit", container, name)
    finally:
        docker("rm", container)
    docker("login", "--username", USER, "--password", PASSWORD, link.host)
    docker("push", name)
    docker("rmi", name)
    yield name
    docker("rmi", "--force", name)


class Docker:
    """`docker …` that stores its accounts in a folder of the test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, *arguments: str) -> str:
        command = ["docker", "--config", str(self._folder), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.timeout(240)
def test_a_pool_says_how_far_its_image_is_then_that_it_starts_and_then_nothing(instance: Instance, image: str):
    workspace = {"name": image, "friendly_name": "Slow", "cores": 0.1, "memory": 300_000_000}
    workspace |= {"docker_user": USER, "docker_token": PASSWORD}
    image_id = instance.call("POST", "/images", json=workspace)["image_id"]
    zone_id = instance.found["zones"][0]["zone_id"]
    config = {"zone_id": zone_id, "image_id": image_id, "num_sessions": 2, "expiration": 8}
    config_id = instance.call("POST", "/staging-configs", json=config)["staging_config_id"]
    said: list[tuple[str, str]] = []

    def is_full() -> bool:
        """True if there is no shortfall; each new shortfall is recorded."""
        shortfall = instance.call("GET", f"/staging-configs/{config_id}")["shortfall"]
        if shortfall and (not said or said[-1] != (shortfall["code"], shortfall["reason"])):
            said.append((shortfall["code"], shortfall["reason"]))
        return shortfall is None

    wait_for(is_full, "the pool is full", 90)
    print("\n".join(f"{code}: {reason}" for code, reason in said))  # noqa: T201 -- shown with a failure, and by -s
    assert [code for code, _ in groupby(code for code, _ in said)] == ["image-pulling", "starting"]
    percents = [int(found[1]) for _, reason in said if (found := PERCENT.search(reason))]
    assert percents == sorted(percents)
    assert len({percent for percent in percents if 0 < percent < 99}) > 3, "it grows before one's eyes"
    assert instance.staged(config_id) == instance.made_for(config_id) == 2, "nothing was created in vain"
    query = "SELECT code, level FROM logs WHERE staging_config_id = %s AND code LIKE 'staging-%%' ORDER BY log_id"
    logged = [(row["code"], row["level"]) for row in instance.sql(query, config_id)]
    assert [row for row in logged if row[0] in {"staging-shortfall", "staging-recovered"}] == [
        ("staging-shortfall", "WARNING"),
        ("staging-recovered", "INFO"),
    ]
    instance.unstage(config_id)
    instance.call("DELETE", f"/images/{image_id}")
    assert instance.broken() == []
