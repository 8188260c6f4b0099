"""The container settings that administrators may choose, and those that no one may."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import for_all

from greenroom.core.errors import Invalid
from greenroom.core.workspace.run_config import (
    ALLOWED,
    CAPABILITIES,
    MAX_STRING_BYTES,
    check_of_workspace,
    merged,
    size_in_bytes,
    validated,
    validated_of_group,
)


def test_everything_that_may_be_set_is_read():
    given_ = {
        "hostname": "desk",
        "user": 1000,
        "working_dir": "/opt//x/",
        "command": ["a", "b c"],
        "environment": {"A": 1},
        "shm_size": "64m",
        "dns": ["9.9.9.9", "2620:fe::fe"],
        "read_only": True,
        "runtime": "runsc",
        "tmpfs": {"/scratch": "size=64m,mode=1777", "//cache/": "exec"},
        "cap_add": ["CAP_CHOWN", "setuid"],
        "node_selector": {"disk.example.org/kind": "fast", "gpu": ""},
        "tolerations": [
            {"operator": "Exists"},
            {"key": "gpu", "operator": "Equal", "value": "a", "effect": "NoExecute"},
        ],
    }
    assert validated(given_) == {
        **given_,
        "user": "1000",
        "working_dir": "/opt/x",
        "environment": {"A": "1"},
        "shm_size": 64 << 20,
        "tmpfs": {"/scratch": "size=64m,mode=1777,nosuid,nodev", "/cache": "exec,size=512m,nosuid,nodev"},
        "cap_add": ["CHOWN", "SETUID"],
    }
    assert set(given_) == set(ALLOWED)
    assert validated({"privileged": False, "devices": []}) == {}, "asks for nothing"
    most = {"hostname": "x" * 63, "shm_size": 64 << 30, "user": "ann:staff", "runtime": "r" * 63}
    assert validated({"privileged": None, **most}) == most


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"privileged": True}, "weakens the isolation of sessions; allowed are cap_add"),
        ({"devices": ["/dev/sda"]}, "weakens"),
        ({"pid_mode": "host"}, "weakens"),
        ({"ipc_mode": "host"}, "weakens"),
        ({"network_mode": "host"}, "network of sessions"),
        ({"security_opt": ["seccomp=unconfined"]}, "weakens"),
        ({"volumes": {"/": {"bind": "/host"}}}, "volume mappings"),
        ({"ulimits": [{}]}, "limits are the same"),
        ({"mem_limit": "1g"}, "fields of the workspace"),
        ({"colour": "blue"}, "may not set `colour`; allowed are cap_add, command"),
        ({"cap_add": ["SYS_ADMIN"]}, "SYS_ADMIN weakens"),
        ({"node_selector": ["fast"]}, "labels of nodes"),
        ({"node_selector": {"disk": 1}}, "labels of nodes"),
        ({"node_selector": {"disk": "very fast"}}, "labels of nodes"),
        ({"tolerations": {}}, "list of objects"),
        ({"tolerations": ["gpu"]}, "list of objects"),
        ({"tolerations": [{"key": "gpu", "tolerationSeconds": 5}]}, "list of objects"),
        ({"tolerations": [{"key": "gpu", "effect": "Never"}]}, "list of objects"),
        ({"tolerations": [{"value": "a"}]}, "list of objects"),
        ({"tolerations": [{"key": "gpu", "operator": "Exists", "value": "a"}]}, "must not have a value"),
        (
            {"user": "root"},
            "a session does not run as root; an image that must start as root sets this in its recipe.",
        ),
        ({"user": "0:1000"}, "does not run as root"),
        ({"user": "00"}, "does not run as root"),
        ({"user": 0}, "does not run as root"),
        ({"user": ""}, "it must be the name or number of a user, or user:group."),
        ({"user": True}, "it must be the name or number of a user, or user:group."),
        ({"environment": {"VNC_PW": "x"}}, "set by Greenroom"),
        ({"environment": {"KASM_SVC_AUDIO": "1"}}, "set by Greenroom"),
        ({"environment": {"A=B": "1"}}, "not the name"),
        ({"environment": {"A": ["1"]}}, "must be a text"),
        ({"environment": {"A": float("nan")}}, "must be a text"),
        ({"environment": {"A": float("inf")}}, "must be a text"),
        ({"environment": ["A=1"]}, "it must be an object, name → text."),
        ({"hostname": "a b"}, "it must be a host name of at most 63 characters."),
        ({"hostname": "x" * 64}, "host name"),
        ({"hostname": 7}, "hostname"),
        ({"working_dir": "../etc"}, "absolute path"),
        ({"command": "ls"}, "it must be a list of texts, one for each word."),
        ({"command": ["a\0"]}, "list of texts"),
        ({"command": []}, "it must be a list of texts, one for each word."),
        ({"shm_size": "much"}, "'much' is not a size"),
        ({"shm_size": "1000g"}, "the maximum is 64g"),
        ({"dns": ["localhost"]}, "it must be a list of IP addresses."),
        ({"dns": [1]}, "it must be a list of IP addresses."),
        ({"tmpfs": {"/proc/x": ""}}, "belongs to the system of the container"),
        ({"tmpfs": {"/etc": ""}}, "belongs to the system of the container"),
        ({"tmpfs": {"/cache/../usr": ""}}, "absolute path"),
        ({"tmpfs": {"tmp": ""}}, "absolute path"),
        ({"tmpfs": {"/x": "size=0"}}, "options of /x"),
        ({"tmpfs": {"/x": 64}}, "options of /x"),
        ({"read_only": "yes"}, "it must be true or false."),
        ({"cap_add": "CHOWN"}, "it must be a list of capabilities."),
        ({"tmpfs": ["/x"]}, 'it must be an object, path → options, like {"/scratch": "size=64m"}.'),
        ({"shm_size": (64 << 30) + 1}, "the maximum is 64g."),
        ({"tmpfs": {"/": ""}}, "belongs to the system of the container"),
        (
            {"runtime": "/usr/bin/runc"},
            "it must be the name of a runtime that Agents offer (GREENROOM_RUNTIME_CLASSES), like runsc.",
        ),
        ({"runtime": 7}, "the name of a runtime"),
        ({"tmpfs": {"/x": "suid"}}, "options of /x"),
    ],
)
def test_what_weakens_confinement_or_is_unusable_is_refused(config: dict[str, Any], words: str):
    with pytest.raises(Invalid) as refused:
        validated(config, subject="The run config of a test")
    assert words in refused.value.message
    assert refused.value.message.startswith("The run config of a test ")


texts = st.text(max_size=6) | st.sampled_from(["root", "0", "/", "/proc", "suid", "VNC_PW", "KASM_ID", "SYS_PTRACE"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
tmpfs = st.dictionaries(
    st.sampled_from(["/scratch", "/var/x/"]), st.sampled_from(["", "mode=700,nodev", "size=1g,exec"])
)


@for_all(
    st.dictionaries(st.sampled_from([*ALLOWED, "privileged", "volumes"]) | st.text(max_size=4), values, max_size=4)
    | st.fixed_dictionaries({"tmpfs": tmpfs}),
    subject=validated,
    mutants=[dict, lambda config: {**config, **validated(config)}],
)
def test_all_that_is_let_through_is_confined(subject: Any, config: dict[str, Any]):
    try:
        made = subject(config)
    except Invalid:
        return
    assert set(made) <= set(ALLOWED)
    assert set(made.get("cap_add", [])) <= CAPABILITIES
    assert made.get("user", "x").partition(":")[0] not in {"root", "0"}
    assert not any(name.startswith(("KASM_", "VNC_PW")) for name in made.get("environment", {}))
    assert all({"nosuid", "nodev"} <= {*options.split(",")} for options in made.get("tmpfs", {}).values())
    assert all("size=" in options for options in made.get("tmpfs", {}).values())
    assert subject(made) == made


def test_a_group_does_not_choose_the_runtime():
    assert validated_of_group({"hostname": "desk"}) == {"hostname": "desk"}
    with pytest.raises(
        Invalid,
        match=r"^The run config of a group may not set `runtime`; only a workspace can set it, because the placement"
        r" uses it\.$",
    ):
        validated_of_group({"runtime": "runsc"})


def test_a_group_goes_over_the_workspace_entry_by_entry():
    image = {"hostname": "a", "environment": {"A": "1", "B": "1"}, "dns": ["1.1.1.1"], "tmpfs": {"/a": ""}}
    group = {"environment": {"B": "2", "C": "2"}, "dns": ["2.2.2.2"], "tmpfs": {"/b": "exec"}}
    assert merged(image, group) == {
        "hostname": "a",
        "environment": {"A": "1", "B": "2", "C": "2"},
        "dns": ["2.2.2.2"],
        "tmpfs": {"/a": "", "/b": "exec"},
    }
    assert merged({"environment": {"A": "1"}}, {"environment": None}) == {"environment": None}
    assert image["environment"] == {"A": "1", "B": "1"}


@pytest.mark.parametrize(
    ("text", "size"), [("512m", 512 << 20), ("1g", 1 << 30), ("64k", 64 << 10), ("2GB", 2 << 30), (4096, 4096)]
)
def test_sizes(text: int | str, size: int):
    assert size_in_bytes(text) == size


@pytest.mark.parametrize("text", ["", "m", "-1", "0", "1.5g", "much", "٣", True])
def test_what_is_not_a_size(text: object):
    with pytest.raises(Invalid, match="not a size"):
        size_in_bytes(text)


@pytest.mark.parametrize(
    ("config", "refused"),
    [({"ulimits": []}, "`ulimits`"), ({"devices": {}}, "`devices`"), ({"privileged": False, "devices": None}, "")],
)
def test_an_empty_value_of_a_refused_option_is_refused_when_a_workspace_is_saved(config: Any, refused: str):
    if not refused:
        check_of_workspace(config)
        return
    with pytest.raises(Invalid, match=refused):
        check_of_workspace(config)


def test_a_text_that_linux_passes_to_no_program_is_refused():
    longest = "x" * (MAX_STRING_BYTES - len("NAME="))
    assert validated({"environment": {"NAME": longest}})["environment"] == {"NAME": longest}
    with pytest.raises(Invalid, match="the value of NAME is too long"):
        validated({"environment": {"NAME": f"{longest}x"}})
    with pytest.raises(Invalid, match="the value of NAME is too long"):
        validated({"environment": {"NAME": "\u0416" * (MAX_STRING_BYTES // 2)}})
    word = "x" * MAX_STRING_BYTES
    assert validated({"command": [word]})["command"] == [word]
    with pytest.raises(Invalid, match="a word may have at most"):
        validated({"command": [f"{word}x"]})
