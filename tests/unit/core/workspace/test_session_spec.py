"""The container's specification from workspace, zone and launch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import for_all

from greenroom.core.access.group_settings import STAGED_PERMISSIONS
from greenroom.core.errors import Invalid
from greenroom.core.workspace import spec_builder
from greenroom.core.workspace.session_spec import Exec, Mount, Service, SessionFile, SessionSpec
from greenroom.core.workspace.spec_builder import (
    ImageFacts,
    LaunchExtras,
    ZoneFacts,
    config_hash_of,
    on_demand_spec,
    spec_for_replacement,
    staged_spec,
)

IMAGE = ImageFacts(image_id="i", name="desktop", friendly_name="Desktop", memory=256, memory_limit=1024)
ZONE = ZoneFacts(zone_id="z", zone_name="eu")
OFF: dict[str, bool] = dict.fromkeys(STAGED_PERMISSIONS, False)
EXTRAS = LaunchExtras(request_host="desk.example:8443", username="ada", user_id="u1")


def test_a_staged_container_has_all_that_its_workspace_says():
    image = replace(
        IMAGE,
        cores=1.5,
        disk_limit_bytes=7,
        cpu_mode="Quotas",
        port=8080,
        protocol="http",
        auth_user="me",
        volume_mappings={"/s/{image_id}": {"bind": "/s"}},
        filter_policy="p",
        exec_config={"first_launch": {"cmd": "x"}, "go": {"cmd": "y"}},
        run_config={"hostname": "a"},
    )
    zone = replace(ZONE, allow_origin_domain="a.example", upstream_auth_address="b.example")
    made = staged_spec(image, zone, OFF, session_id="s", credential="c")
    assert made == SessionSpec(
        image="desktop",
        image_id="i",
        credential="c",
        environment={**spec_builder.permission_variables(OFF), "KASM_ID": "s"},
        cores=1.5,
        memory_bytes=1024,
        cpu_mode="Quotas",
        port=8080,
        protocol="http",
        auth_user="me",
        mounts=(Mount(source="/s/i", target="/s"),),
        filter_policy="p",
        first_launch=Exec(argv=("x",)),
        run_config={"hostname": "a"},
        allow_origin=("a.example",),
        upstream_auth="b.example",
        disk_limit_bytes=7,
    )
    assert staged_spec(replace(IMAGE, memory_limit=0), ZONE, OFF, session_id="", credential="").memory_bytes == 256
    assert "KASM_ID" not in staged_spec(IMAGE, ZONE, OFF, session_id="", credential="").environment


def test_hashes_stay_the_same_from_version_to_version():
    """Another `config_hash` ends every staged session, another `spec_hash` disowns every container."""
    assert config_hash_of(IMAGE, ZONE, OFF) == "c334a724d433138f"
    assert config_hash_of(replace(IMAGE, only_agent_id="a1"), ZONE, OFF) == "a4c2bbc3c1826fc7"
    made = staged_spec(
        replace(IMAGE, volume_mappings={"/s": {"bind": "/s"}}), ZONE, OFF, session_id="s", credential="c"
    )
    assert made.hash() == "09b0a24ad3bbce00"


def test_permissions_become_the_images_variables():
    made = staged_spec(IMAGE, ZONE, {**OFF, "allow_kasm_audio": True}, session_id="s", credential="c").environment
    assert made["KASM_SVC_AUDIO"] == "1"
    assert made["KASM_SVC_WEBCAM"] == "0"
    assert made["KASM_SVC_SEND_CUT_TEXT"] == "-SendCutText 0"
    assert made["KASM_ID"] == "s"
    assert len(spec_builder.PERMISSION_VARIABLES) == len(STAGED_PERMISSIONS)
    assert spec_builder.permissions_in_environment(made) == {**OFF, "allow_kasm_audio": True}


def test_an_image_of_others_says_where_its_page_is_and_what_is_beside_it():
    image = replace(IMAGE, page_path="/vnc/", ready_path="websocket", port_map={"uploads": 4902, "audio": 4901})
    made = staged_spec(image, ZONE, {**OFF, "allow_kasm_uploads": True}, session_id="s", credential="c")
    assert (made.page_path, made.ready_path) == ("/vnc/", "websocket")
    assert made.services == (Service(name="audio", port=4901), Service(name="uploads", port=4902, allowed=True))


def test_the_path_of_a_zone_matters_to_pages_that_know_it():
    """Other sessions are not replaced when the Proxy Path of their zone changes."""
    elsewhere, knows = replace(ZONE, proxy_path="eu"), replace(IMAGE, page_path="/{path}/")
    assert config_hash_of(IMAGE, ZONE, OFF) == config_hash_of(IMAGE, elsewhere, OFF)
    assert config_hash_of(knows, ZONE, OFF) != config_hash_of(knows, elsewhere, OFF)
    made = staged_spec(IMAGE, elsewhere, OFF, session_id="s", credential="c")
    assert made.proxy_path == "eu"
    assert spec_builder.spec_for_zone(made, ZONE, "h").proxy_path == "desktop"


def test_the_request_host_is_any_port_as_origin_and_itself_as_upstream():
    made = on_demand_spec(IMAGE, ZONE, OFF, EXTRAS, session_id="s", credential="c")
    assert (made.allow_origin, made.upstream_auth) == (("desk.example",), "desk.example:8443")
    fixed = ZoneFacts(zone_id="z", zone_name="eu", allow_origin_domain="A.example, b:1", upstream_auth_address="c:2")
    made = on_demand_spec(IMAGE, fixed, OFF, EXTRAS, session_id="s", credential="c")
    assert (made.allow_origin, made.upstream_auth) == (("a.example", "b:1"), "c:2")


def test_the_settings_of_a_user_reach_an_on_demand_container():
    extras = replace(
        EXTRAS,
        environment={"A": "b", "KASM_SVC_AUDIO": "1"},
        kasm_url="https://a.example",
        language="de-DE",
        timezone="Europe/Berlin",
        expose_user=True,
        volume_mapping={"/data/{user_id}": {"bind": "/data", "mode": "ro"}},
        run_config={"shm_size": "1g"},
    )
    image = replace(IMAGE, volume_mappings={"/home/{username}": {"bind": "/home/x"}})
    made = on_demand_spec(image, ZONE, OFF, extras, session_id="s", credential="c")
    assert {k: made.environment[k] for k in ("A", "KASM_URL", "LANG", "TZ", "KASM_USER", "KASM_USER_ID")} == {
        "A": "b",
        "KASM_URL": "https://a.example",
        "LANG": "de_DE.UTF-8",
        "TZ": "Europe/Berlin",
        "KASM_USER": "ada",
        "KASM_USER_ID": "u1",
    }
    assert made.environment["KASM_SVC_AUDIO"] == "0", "a request cannot give itself a permission"
    assert [(m.source, m.target, m.read_only) for m in made.mounts] == [
        ("/data/u1", "/data", True),
        ("/home/ada", "/home/x", False),
    ]
    assert made.run_config == {"shm_size": "1g"}
    assert made.environment["LC_ALL"] == "de_DE.UTF-8"


def test_what_a_launch_does_not_ask_for_is_not_there():
    made = on_demand_spec(IMAGE, ZONE, OFF, EXTRAS, session_id="s", credential="c")
    assert made.environment == {**spec_builder.permission_variables(OFF), "KASM_ID": "s"}
    assert (made.mounts, made.run_config, made.filter_policy, made.files) == ((), {}, None, ())


def test_the_groups_settings_go_over_the_workspaces():
    image = replace(
        IMAGE,
        persistent_profile_path="/p/{username}",
        filter_policy="of the workspace",
        run_config={"hostname": "a", "dns": ["192.0.2.1"]},
    )
    extras = replace(
        EXTRAS,
        username="Ädä",
        run_config={"hostname": "b"},
        filter_policy="of the group",
        profile="Reset",
        files=(SessionFile(path="/k", content="x"),),
    )
    made = on_demand_spec(image, ZONE, OFF, extras, session_id="s", credential="c")
    home = f"/p/{spec_builder.folder_name('Ädä')}"
    assert made.mounts == (Mount(source=home, target="/home/kasm-user", profile="Reset"),)
    assert made.run_config == {"hostname": "b", "dns": ["192.0.2.1"]}
    assert (made.filter_policy, made.files) == ("of the group", extras.files)
    bare = on_demand_spec(image, ZONE, OFF, EXTRAS, session_id="s", credential="c")
    assert (bare.mounts, bare.filter_policy) == ((), "of the workspace")
    unfiltered = replace(image, filter_policy_force_disabled=True)
    assert on_demand_spec(unfiltered, ZONE, OFF, extras, session_id="s", credential="c").filter_policy is None


def test_a_zone_says_which_of_its_settings_need_the_host_of_a_request():
    assert ZONE.request_host_settings() == ("Allow Origin Domain", "Upstream Auth Address")
    assert replace(ZONE, allow_origin_domain="a.example").request_host_settings() == ("Upstream Auth Address",)


@pytest.mark.parametrize(
    ("language", "locale"),
    [
        ("de", "de_DE.UTF-8"),
        ("en", "en_US.UTF-8"),
        ("ja", "ja_JP.UTF-8"),
        ("pt-BR", "pt_BR.UTF-8"),
        ("es-419", "es_ES.UTF-8"),
        ("en-001", "en_US.UTF-8"),
        ("zh-Hant", "zh_TW.UTF-8"),
        ("zh-Hant-HK", "zh_HK.UTF-8"),
        ("zh-Hans", "zh_CN.UTF-8"),
        ("sr-Latn-RS", "sr_RS.UTF-8"),
        ("ar-001", "ar_EG.UTF-8"),
        ("fil", "fil_PH.UTF-8"),
    ],
)
def test_a_language_becomes_a_locale_with_a_country(language: str, locale: str):
    assert spec_builder.locale_of(language) == locale


def test_a_staged_container_gets_no_volume_of_a_user():
    image = replace(IMAGE, volume_mappings={"/h/{username}": {"bind": "/h"}, "/s/{image_id}": {"bind": "/s"}})
    made = staged_spec(image, ZONE, OFF, session_id="s", credential="c")
    assert [m.source for m in made.mounts] == ["/s/i"]


def test_commands_are_split_once():
    config = {"assign": {"cmd": "bash -c 'echo \"$KASM_URL\"'", "user": "root", "environment": {"A": 1}}}
    made = spec_builder.command_of(config, "assign")
    assert made is not None
    assert (made.argv, made.user, made.environment) == (("bash", "-c", 'echo "$KASM_URL"'), "root", {"A": "1"})
    assert spec_builder.command_of(config, "go") is None
    with pytest.raises(Invalid):
        spec_builder.command_of({"go": {"cmd": "echo 'open"}}, "go")
    for entry in ("x", {"cmd": "x", "environment": ["A=B"]}):
        with pytest.raises(Invalid, match="must be an object"):
            spec_builder.command_of({"go": entry}, "go")


@pytest.mark.parametrize(
    "changed",
    [
        {"image": replace(IMAGE, revision=2)},
        {"image": replace(IMAGE, exec_config={"assign": {"cmd": "x"}})},
        {"image": replace(IMAGE, run_config={"hostname": "a"})},
        {"zone": replace(ZONE, upstream_auth_address="x")},
        {"permissions": {**OFF, "allow_kasm_audio": True}},
    ],
)
def test_the_fingerprint_changes_with_what_outdates_staged_sessions(changed: dict[str, Any]):
    same: dict[str, Any] = {"image": IMAGE, "zone": ZONE, "permissions": OFF}
    other: dict[str, Any] = {**same, **changed}
    assert config_hash_of(**same) != config_hash_of(**other)
    newer = replace(IMAGE, friendly_name="x", name="y:2", cores=7.0, memory=1, volume_mappings={"/s": {"bind": "/s"}})
    same_but_newer: dict[str, Any] = {**same, "image": newer}
    assert config_hash_of(**same) == config_hash_of(**same_but_newer), "they are replaced one by one"


@for_all(
    st.text(max_size=12),
    st.text(max_size=12),
    subject=spec_builder.folder_name,
    mutants=[str, lambda name: "".join(c for c in name if c.isalnum()) or "_"],
)
def test_hostile_usernames_stay_in_their_own_folder(subject: Any, one: str, other: str):
    folder = subject(one)
    assert folder not in ("", ".", "..")
    assert "/" not in folder
    assert "\0" not in folder
    assert one == other or folder != subject(other)


def test_a_field_that_came_later_changes_nothing_until_it_is_used():
    made = on_demand_spec(IMAGE, ZONE, OFF, EXTRAS, session_id="s", credential="c")
    assert "files" not in made.parts()
    with_file = replace(made, files=(SessionFile(path="/a", content="b"),))
    assert with_file.hash() != made.hash()
    assert with_file.stored() == made.stored()
    assert "credential" not in made.stored()
    mounted = replace(made, mounts=(Mount(source="/a", target="/b"),))
    assert mounted.parts()["mounts"] == [{"source": "/a", "target": "/b", "read_only": False}]
    assert replace(made, mounts=(Mount(source="/a", target="/b", uid=5),)).hash() != mounted.hash()


def test_a_reissued_specification_differs_in_id_and_credential_only():
    before = staged_spec(IMAGE, ZONE, OFF, session_id="old", credential="c1")
    after = spec_for_replacement(before, old_id="old", session_id="new", credential="c2")
    assert after == staged_spec(IMAGE, ZONE, OFF, session_id="new", credential="c2")


def test_a_workspace_of_one_agent_stages_anew():
    bound = replace(IMAGE, only_agent_id="a1")
    hashes = {config_hash_of(image, ZONE, OFF) for image in (IMAGE, bound, replace(IMAGE, only_agent_id="a2"))}
    assert len(hashes) == 3
