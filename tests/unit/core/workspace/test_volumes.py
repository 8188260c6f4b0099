"""Folders of the host that a container may access."""

from __future__ import annotations

import posixpath
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import for_all

from greenroom.core.access.setting_checks import validated_setting
from greenroom.core.errors import Invalid
from greenroom.core.workspace.session_spec import Mount
from greenroom.core.workspace.volumes import (
    FORBIDDEN,
    HOME,
    folder_name,
    home_write_warning,
    mappings_problem,
    merged_mounts,
    mounts,
    profile_mount,
    profile_problem,
    source_problem,
    unmountable_warning,
)

names = st.sampled_from(
    ["", ".", "..", "var", "run", "lib", "docker", "etc", "docker.sock", "etcetera", "mnt", "{user_id}"]
)
sources = st.lists(names, max_size=5).map("/".join).map(lambda path: f"/{path}")


@for_all(sources, subject=source_problem, mutants=[lambda path: path if path.startswith(FORBIDDEN) else None])
def test_no_way_of_writing_it_lets_the_hosts_own_folders_through(subject: Any, source: str):
    if subject(source) is None:
        path = PurePosixPath(posixpath.normpath("/" + source.lstrip("/")))
        for folder in map(PurePosixPath, FORBIDDEN):
            assert not path.is_relative_to(folder)
            assert not folder.is_relative_to(path)


@pytest.mark.parametrize(
    "source", ["/mnt/profiles/{username}", "/srv", "/etcetera", "/data/a b", "/home/x/", "/var/log"]
)
def test_other_folders_may(source: str):
    assert source_problem(source) is None


@pytest.mark.parametrize(
    "source",
    [
        *("/", "//", "/var", "/var/run/docker.sock", "//etc", "/mnt/../etc", "etc", "", "/proc/."),
        *("/var/lib/dpkg/info", "/var/backups", "/var/lib/cloud/seed", "/var/lib/postgresql", "/snap/core"),
    ],
)
def test_these_may_not(source: str):
    assert source_problem(source)


def test_a_mapping_says_where_it_goes():
    assert mappings_problem({"/srv": {"bind": "/srv", "mode": "ro", "uid": 1000}}) is None
    for wrong in ({"/srv": 1}, {"/srv": {}}, {"/srv": {"bind": "/x", "mode": "777"}}, {"/etc": {"bind": "/x"}}):
        assert mappings_problem(wrong)
        with pytest.raises(Invalid):
            validated_setting("volume_mapping", wrong)


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        ("/srv", {"bind": "x"}, "absolute path of the container"),
        ("/srv", {"bind": "/a/../.."}, "absolute path of the container"),
        ("/srv", {"bind": "/"}, "belongs to the container itself"),
        ("/srv", {"bind": "/proc/1"}, "belongs to the container itself"),
        ("/srv", {"bind": "/sys"}, "belongs to the container itself"),
        ("/srv", {"bind": "/dev/x"}, "belongs to the container itself"),
        ("/srv", {"bind": "//etc/"}, "belongs to the container itself"),
        ("/srv", {"bind": "/etc/passwd"}, "belongs to the container itself"),
        ("/srv", {"bind": "/x", "uid": -1}, "The uid of /srv must be a number"),
        ("/srv", {"bind": "/x", "gid": True}, "The gid of /srv must be a number"),
        ("/srv", {"bind": "/x", "required": "yes"}, "required of /srv must be true or false"),
        ("/srv", {"bind": "/x", "propagation": "shared"}, "/srv may not have propagation; it may have bind, gid"),
        ("/srv", {"bind": "/x", "skip_check": 1}, "skip_check of /srv must be true or false"),
        ("/srv/{nickname}", {"bind": "/x"}, "has an unknown token; the tokens are {username}"),
        ("/srv/{", {"bind": "/x"}, "has an unknown token"),
        ("/{username}", {"bind": "/x"}, "must begin with a fixed folder"),
        ("/srv\n/x", {"bind": "/x"}, "must be an absolute path"),
        ("/usr/local/share", {"bind": "/x"}, "/usr belongs to the host itself"),
    ],
)
def test_a_mapping_that_cannot_be_is_refused_with_the_reason(source: str, options: dict[str, Any], words: str):
    problem = mappings_problem({source: options})
    assert problem is not None
    assert words in problem


def test_two_folders_cannot_have_one_place():
    problem = mappings_problem({"/srv/a": {"bind": "/x"}, "/srv/b": {"bind": "/x/"}})
    assert problem == "/srv/a and /srv/b cannot both be /x in the container."


def test_what_the_host_keeps_for_itself_is_not_mounted_either():
    assert source_problem("/data/instance/agent", ["/data/instance"]) is not None
    assert source_problem("/data", ["/data/instance/"]) is not None
    assert source_problem("/data/instances", ["/data/instance"]) is None


TOKENS = {"username": folder_name("ada"), "user_id": "u1", "image_id": "i1"}


def test_options_of_a_mapping_reach_the_mount():
    options = {"bind": "/mnt/x/", "mode": "ro", "uid": 5, "gid": 6, "skip_check": True}
    assert mounts({"/srv/{image_id}/{username}-{user_id}": options}, TOKENS) == (
        Mount(source="/srv/i1/ada-u1", target="/mnt/x", read_only=True, uid=5, gid=6, required=True),
    )


def test_a_plain_mapping_is_writable_and_belongs_to_the_desktops_user():
    assert mounts({"/srv//a/": {"bind": "/mnt/x"}, "/srv/{user_id}": {"bind": "/y"}}, {"image_id": "i1"}) == (
        Mount(source="/srv/a", target="/mnt/x", read_only=False, uid=1000, gid=1000, required=False),
    ), "one of a user is left out where there is none"
    assert mounts({"/srv": {"bind": "/x", "required": True}}, TOKENS)[0].required


def test_a_token_in_a_value_is_not_replaced_again():
    assert mounts({"/srv/{username}": {"bind": "/x"}}, {"username": "{image_id}", "image_id": "i"})[0].source == (
        "/srv/{image_id}"
    )


def test_the_installations_own_volumes_may_be_mounted():
    assert source_problem("/var/lib/greenroom/volumes/profiles") is None
    assert source_problem("/var/lib/greenroom/volumes") is None
    assert source_problem("/var/lib/greenroom/volumes2") == (
        "/var/lib/greenroom/volumes2 may not be put into a container: /var/lib/greenroom belongs to the host itself."
    )
    assert source_problem("/data/own/x", ["/data"], "/data/own") is None
    assert source_problem("/data/x", ["/data"], "/data/own") is not None


def test_what_holds_a_folder_of_the_host_is_refused_with_that_folder():
    assert source_problem("/data", ["/data/instance"]) == (
        "/data may not be put into a container: it contains /data/instance, which belongs to the host itself."
    )


def test_a_profile_is_always_of_one_user():
    assert profile_mount("/p/{username}/", TOKENS, "Reset") == Mount(source="/p/ada", target=HOME, profile="Reset")
    assert profile_mount("/p/{image_id}/", TOKENS, "Enabled") == Mount(
        source="/p/i1/u1", target=HOME, profile="Enabled"
    )
    assert profile_problem("s3://bucket@endpoint/{username}/") is not None
    assert profile_problem("/etc/{username}") is not None
    assert profile_problem("/p/{username}") is None
    assert profile_problem("/p/{username}/" + "x" * 1779) is None
    for long in ("/p/{username}/" + "x" * 1780, "/p/" + "{username}/" * 10, "/p/" + "é" * 1000):
        assert "at most 2000 bytes" in str(profile_problem(long)), long


def test_the_later_layer_wins_where_two_have_one_place():
    workspace, group = Mount(source="/a", target="/x"), Mount(source="/b", target="/x")
    other = Mount(source="/c", target="/y")
    assert merged_mounts([workspace, other], [group]) == (group, other)


hostile = st.text(max_size=300) | st.sampled_from(
    ["..", "../..", "/etc", "a/../../etc", "\0", "a\0b", ".", "", "ä" * 300, "x" * 300, "{user_id}", "-rf", "a\nb"]
)


@for_all(
    hostile, hostile, subject=folder_name, mutants=[lambda name: name.replace("/", "_").replace("\0", "_")[:200] or "_"]
)
def test_no_username_leaves_its_folder_or_meets_another_one(subject: Any, one: str, other: str):
    name = subject(one)
    assert len(name.encode()) <= 255
    (mount,) = mounts({"/srv/data/{username}/x": {"bind": "/x"}}, {"username": name, "user_id": "u"})
    path = PurePosixPath(posixpath.normpath(mount.source))
    assert path.parts[:3] == ("/", "srv", "data")
    assert len(path.parts) == 5
    assert source_problem(mount.source) is None
    assert one == other or subject(other) != name


def test_a_name_that_looks_like_anothers_folder_gets_one_of_its_own():
    assert folder_name("ada@example.org") == "ada@example.org"
    assert [folder_name(name).rpartition("-")[0] for name in ("..a/b", "", "x" * 201)] == ["a_b", "_", "x" * 200]
    taken = folder_name("ädä")
    assert folder_name(taken) != taken


def test_a_user_with_the_name_of_a_former_user_has_another_folder():
    folders = {folder_name("ada"), folder_name("ada", "u1"), folder_name("ada", "u2")}
    assert len(folders) == 3
    assert folder_name(folder_name("ada", "u1")) not in folders


def test_an_entry_without_a_place_in_the_container_is_refused():
    with pytest.raises(Invalid, match="/srv has no `bind`, the folder inside the container"):
        mounts({"/srv": {"mode": "ro"}}, TOKENS)


@pytest.mark.parametrize(
    ("path", "user", "is_said"),
    [
        ("/srv/profiles", "1001", True),
        ("/srv/profiles", "1001:1000", True),
        ("/srv/profiles", "1000:2000", False),
        ("/srv/profiles", "kasm-user", False),
        ("/srv/profiles", None, False),
        (None, "1001", False),
    ],
)
def test_a_user_who_cannot_write_the_home_folder_is_named(path: str | None, user: str | None, is_said: bool):
    warning = home_write_warning(path, user)
    assert (warning is not None) == is_said
    assert warning is None or "the run config has the user 1001" in warning


@pytest.mark.parametrize(
    ("path", "folders", "start"),
    [
        ("/srv/shared/{username}", [("/volumes",)], "No Agent may mount {}, "),
        ("/srv/shared/../other", [("/srv/shared",)], "No Agent may mount {}, "),
        ("/srv/sharedness", [("/srv/shared",), ("/srv",)], "Sessions with the folder {} cannot start on host-0, which"),
        (
            "/srv/shared/a",
            [("/volumes",), ("/srv/shared",)],
            "Sessions with the folder {} cannot start on host-0, which",
        ),
        ("/srv/shared", [None, ("/volumes",)], "Sessions with the folder {} cannot start on host-1, which"),
        (
            "/srv/shared",
            [*[("/volumes",)] * 5, ("/srv",)],
            "Sessions with the folder {} cannot start on host-0, host-1, host-2 and 2 more, which",
        ),
        *((path, [("/srv/shared",)], None) for path in ("/srv/shared", "/srv/shared/{user_id}", "{homes}")),
        *(("/srv/shared", folders, None) for folders in ([("/",)], [None], [])),
    ],
)
def test_the_path_that_most_agents_may_not_mount_is_named(
    path: str, folders: list[tuple[str, ...] | None], start: str | None
):
    by_host = [(f"host-{number}", each) for number, each in enumerate(folders)]
    warning = unmountable_warning([path], by_host)
    assert (warning is None) if start is None else (warning or "").startswith(start.format(path))


def test_a_path_that_no_agent_may_mount_is_named_before_others():
    warning = unmountable_warning(["/a", "/c", "/b"], [("host-0", ("/a", "/b")), ("host-1", ("/a",))])
    assert (warning or "").startswith("No Agent may mount /c, ")
