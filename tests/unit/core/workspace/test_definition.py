"""Workspaces whose fields contradict each other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from greenroom.core.errors import Invalid
from greenroom.core.workspace.definition import (
    Definition,
    reference_problem,
    registry_of,
    registry_problem,
    require_consistent,
    token_problem,
)

GOOD = Definition(name="kasmweb/chrome:1.16.0", friendly_name="Chrome")
ROOTS = {"first_launch": {"cmd": "true", "user": "root"}}
WRITABLE = {"/srv/data": {"bind": "/mnt/data"}}
READ_ONLY = {"/srv/data": {"bind": "/mnt/data", "mode": "ro"}}


DIGEST = "@sha256:" + "0" * 64


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "kasmweb/chrome:1.16.0",
        "localhost/x",
        "r.example:5000/team/desk_1:v1",
        f"a{DIGEST}",
        "a" * 237,
        f"docker.io/{'a' * 237}:{'t' * 128}{DIGEST}",
        f"a/{'b' * 243}",
        f"r.example:5000/{'a' * 240}:v1",
    ],
)
def test_images_are_written_as_docker_writes_them(name: str):
    assert reference_problem(name) is None


@pytest.mark.parametrize(
    "name", ["", "a b", "A/b", "../containers/x", "a//b", "a:", "a\n", "http://r.example/a", "a@sha256:0"]
)
def test_what_is_no_image(name: str):
    assert "has the form" in (reference_problem(name) or "")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a" * 255, "has 273 characters with its registry"),
        ("a" * 238, "has 256 characters with its registry"),
        (f"docker.io/{'a' * 238}", "has 256 characters"),
        (f"a/{'b' * 244}", "has 256 characters"),
        (f"r.example:5000/{'a' * 241}{DIGEST}", "has 256 characters"),
        ("f" * 64, "64 hexadecimal digits"),
    ],
)
def test_a_name_that_docker_refuses_has_its_reason(name: str, words: str):
    assert words in (reference_problem(name) or "")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"restrict_to_zone": True}, "restrict_to_zone needs zone_id, the zone of the restriction."),
        ({"restrict_to_server": True}, "restrict_to_server needs server_id, the Agent of the restriction."),
        ({"docker_registry": "r.example:5000"}, "Write the image as r.example:5000/kasmweb/chrome:1.16.0"),
        (
            {"port_map": {"audio": 6901}},
            "Port 6901 is the port of the page; a service of the port map needs another port.",
        ),
        ({"docker_registry": "not a host"}, "not the address of a registry"),
        ({"exec_config": ROOTS, "volume_mappings": WRITABLE}, "The command first_launch would run as root"),
        ({"exec_config": ROOTS, "persistent_profile_path": "/srv/{user_id}"}, "write access to a mounted folder"),
    ],
)
def test_contradictions_are_named(change: dict[str, Any], words: str):
    require_consistent(GOOD)
    with pytest.raises(Invalid) as refused:
        require_consistent(replace(GOOD, **change))
    assert words in refused.value.message


def test_a_restriction_with_its_place_is_none():
    require_consistent(replace(GOOD, restrict_to_zone=True, zone_id="z", restrict_to_server=True, server_id="s"))


def test_root_may_have_folders_that_it_cannot_write_to():
    require_consistent(replace(GOOD, exec_config=ROOTS, volume_mappings=READ_ONLY))
    require_consistent(replace(GOOD, exec_config=ROOTS))


@pytest.mark.parametrize(
    ("name", "registry", "fits"),
    [
        ("desk:1", "", True),
        ("desk:1", "https://index.docker.io/v1/", True),
        ("docker.io/team/desk:1", "index.docker.io", True),
        ("r.example:5000/desk:1", "https://r.example:5000/v2/", True),
        ("R.example:5000/desk:1", "r.example:5000", True),
        ("r.example:5000/desk:1", "r.example", False),
        ("r.example/desk:1", "https://index.docker.io/v1/", False),
        ("localhost/desk", "localhost", True),
        ("team/desk", "localhost:5000", False),
    ],
)
def test_a_registrys_credentials_go_to_that_registry_alone(name: str, registry: str, fits: bool):
    assert (registry_problem(name, registry) is None) is fits


def test_a_refusal_says_how_to_write_the_image():
    assert registry_problem("r.example/team/desk:1", "https://me@Other.example:5000/v2/") == (
        "The image r.example/team/desk:1 comes from r.example, so the user and token for "
        "other.example:5000 would be sent there. Write the image as other.example:5000/team/desk:1, or "
        "change docker_registry."
    )


def test_which_registry_an_image_comes_from():
    assert [registry_of(name) for name in ("desk", "team/desk", "localhost/desk", "r.example/desk", "r:1/desk")] == [
        "docker.io",
        "docker.io",
        "localhost",
        "r.example",
        "r:1",
    ]


@pytest.mark.parametrize(
    ("before", "after", "is_kept"),
    [
        ("r.example/desk:1", "R.example/other:2", True),
        ("desk:1", "docker.io/team/desk:2", True),
        ("desk:1", "index.docker.io/team/desk:2", True),
        ("r.example/desk:1", "r.example:5000/desk:1", False),
        ("r.example/desk:1", "desk:1", False),
        ("desk:1", "r.example/desk:1", False),
    ],
)
def test_a_stored_token_stays_with_its_registry(before: str, after: str, is_kept: bool):
    assert (token_problem(before, after) is None) is is_kept


@pytest.mark.parametrize("registry", ["https://[", "a b", "https://"])
def test_what_is_no_address_of_a_registry_is_refused(registry: str):
    problem = registry_problem("desk:1", registry)
    assert problem is not None
    assert "is not the address of a registry; write one like registry.example:5000." in problem


@pytest.mark.parametrize(("shm_size", "memory_limit", "fits"), [("1g", None, True), ("1g", 1 << 29, False)])
def test_shared_memory_is_a_part_of_the_memory_of_a_session(shm_size: str, memory_limit: int | None, fits: bool):
    workspace = Definition(
        name="desk:1",
        friendly_name="Desk",
        memory=1 << 30,
        memory_limit=memory_limit,
        run_config={"shm_size": shm_size},
    )
    if fits:
        require_consistent(workspace)
    else:
        with pytest.raises(Invalid, match="shm_size"):
            require_consistent(workspace)
