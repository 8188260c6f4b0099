"""The location of an image's page, its other services, and placeholders for the values of a session."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import for_all

from greenroom.core.errors import Invalid
from greenroom.core.session.streams import PROGRAM_FOLDERS
from greenroom.core.workspace.page import (
    GATEWAY_PATH,
    PROGRAM_SERVICES,
    SERVICES,
    folders_of,
    page_path_problem,
    relative_address_problem,
    services_of,
    spec_with_tokens_replaced,
    token_values,
    validated_ports,
    with_tokens_replaced,
)
from greenroom.core.workspace.session_spec import Service

KNOWN = token_values(
    path="/desktop/1a2b3c4d/5e55/",
    session_id="5e55",
    permissions={"allow_kasm_audio": True, "allow_kasm_uploads": False},
    password="s3cret",
)


@pytest.mark.parametrize("path", ["/", "/vnc/", "/a/b_c/", GATEWAY_PATH])
def test_a_page_is_in_a_folder_or_at_its_path_at_the_gateway(path: str):
    assert page_path_problem(path) is None


@pytest.mark.parametrize(
    "path", ["", "vnc/", "/vnc", "/{path}/lab/", "/a//b/", "/../", "/a/./", "/a b/", "/" + "a" * 501 + "/"]
)
def test_what_is_no_folder_is_refused_with_an_example(path: str):
    assert "/vnc/" in (page_path_problem(path) or "")


@pytest.mark.parametrize(
    "address", ["", "lab", "vnc.html?autoconnect=1&path={path}/websockify", "a/b?next=https://c.example/", "?x=1"]
)
def test_an_address_below_the_page(address: str):
    assert relative_address_problem("start_page", address) is None


@pytest.mark.parametrize(
    "address",
    ["/a", "//evil.example", "https://evil.example", "a//b", "a/../b", "a b", "a#b", "ü", "x?a=1&token=2", "a" * 501],
)
def test_an_address_that_leaves_the_session_or_names_a_token_is_refused(address: str):
    problem = relative_address_problem("start_page", address)
    assert problem is not None
    assert problem.startswith("start_page must be an address below page_path")


def test_the_ports_of_services_are_known_by_name():
    assert validated_ports({"audio": 4901, "uploads": 4902}) == {"audio": 4901, "uploads": 4902}


@pytest.mark.parametrize(
    ("ports", "words"),
    [
        ({"printer": 4906}, "A port map has no service printer; the services are audio, audio_input,"),
        ({"audio": 0}, "audio must be a port"),
        ({"audio": 70_000}, "audio must be a port"),
        ({"audio": True}, "audio must be a port"),
        ({"downloads": "/files"}, "downloads must be a port"),
        ({"downloads": "a/../b"}, "downloads must be a port"),
        ({"downloads": ""}, "downloads must be a port"),
        ({"audio": 4901, "uploads": 4901}, "have the same port"),
        ({"cdp": 9222}, "cdp is served only to programs, in the folder cdp of the page"),
        ({"webdriver": "driver"}, "webdriver is served only to programs, in the folder webdriver"),
    ],
)
def test_a_port_map_that_cannot_be(ports: dict[str, Any], words: str):
    with pytest.raises(Invalid, match=words):
        validated_ports(ports)


@for_all(
    st.dictionaries(st.sampled_from(sorted(SERVICES.values())), st.booleans()),
    subject=services_of,
    mutants=[
        lambda ports, permissions: services_of(ports, {}),
        lambda ports, permissions: services_of(ports, dict.fromkeys(permissions, True)),
    ],
)
def test_a_service_is_open_exactly_where_its_permission_is(subject: Any, permissions: dict[str, bool]):
    ports = {name: 4900 + n for n, name in enumerate(SERVICES)}
    for service in subject(ports, permissions):
        assert service == Service(
            name=service.name, port=ports[service.name], allowed=permissions.get(SERVICES[service.name], False)
        )


def test_a_service_may_be_what_addresses_of_the_page_begin_with():
    ports = validated_ports({"uploads": "files", "downloads": "files"})
    assert services_of(ports, {"allow_kasm_downloads": True}) == (
        Service(name="uploads", folder="files"),
        Service(name="downloads", folder="files", allowed=True),
    )


def test_what_programs_are_served_needs_no_permission():
    ports = validated_ports({"cdp": "cdp", "webdriver": "webdriver", "audio": 4901})
    assert services_of(ports, {}) == (
        Service(name="audio", port=4901),
        Service(name="cdp", folder="cdp", allowed=True),
        Service(name="webdriver", folder="webdriver", allowed=True),
    )
    assert set(PROGRAM_SERVICES) == set(PROGRAM_FOLDERS), "no viewer gets in there"


@pytest.mark.parametrize(
    ("up", "down", "transfers"),
    [(True, True, "upload,download"), (False, True, "download"), (True, False, "upload"), (False, False, "none")],
)
def test_both_directions_of_files_in_one_token(up: bool, down: bool, transfers: str):
    permissions = {"allow_kasm_uploads": up, "allow_kasm_downloads": down}
    assert (
        with_tokens_replaced("{transfers}", token_values(path="a", session_id="b", permissions=permissions))
        == transfers
    )


def test_only_what_the_image_has_is_a_service():
    assert services_of({"audio": 4901}, {"allow_kasm_uploads": True}) == (Service(name="audio", port=4901),)


def test_tokens_are_replaced_once_and_other_braces_stay():
    assert with_tokens_replaced("/{path}/ {session_id} {password}", KNOWN) == "/desktop/1a2b3c4d/5e55/ 5e55 s3cret"
    assert with_tokens_replaced("{allow_kasm_audio}|locked {allow_kasm_uploads}", KNOWN) == "true|locked false"
    assert with_tokens_replaced('{"a": {x}} {unknown} {Path}', KNOWN) == '{"a": {x}} {unknown} {Path}'
    assert with_tokens_replaced("{password}", {"password": "{path}", "path": "a"}) == "{path}"


def test_without_a_password_its_token_stays():
    assert with_tokens_replaced("{password}", token_values(path="a", session_id="b", permissions={})) == "{password}"


def test_a_specification_is_filled_where_an_administrator_wrote():
    spec = {
        "page_path": GATEWAY_PATH,
        "environment": {"MINE": "{password}"},
        "run_config": {
            "environment": {"SUBFOLDER": GATEWAY_PATH, "N": 1},
            "command": ["lab", "--base={path}"],
            "hostname": "{path}",
        },
    }
    made = spec_with_tokens_replaced(spec, KNOWN)
    assert made == {
        "page_path": "/desktop/1a2b3c4d/5e55/",
        "environment": {"MINE": "{password}"},
        "run_config": {
            "environment": {"SUBFOLDER": "/desktop/1a2b3c4d/5e55/", "N": 1},
            "command": ["lab", "--base=desktop/1a2b3c4d/5e55"],
            "hostname": "{path}",
        },
    }
    assert spec["page_path"] == GATEWAY_PATH, "the stored one keeps its tokens, for the session that takes its place"


def test_a_specification_that_another_program_wrote_is_left_as_it_is():
    assert spec_with_tokens_replaced({"run_config": ["x"]}, KNOWN) == {"run_config": ["x"]}


DESK = Service(name="desk", folder="desk", allowed=True)


@pytest.mark.parametrize(
    ("services", "permissions", "folders"),
    [
        ((), {"allow_kasm_audio": True}, {}),
        ((DESK,), {}, {}),
        ((DESK,), {"allow_kasm_audio": True, "allow_kasm_uploads": True}, {"audio": "sound", "uploads": "files"}),
        ((DESK,), {"allow_kasm_microphone": True, "allow_kasm_gamepad": True}, {"audio_input": "microphone"}),
        (
            (DESK, Service(name="audio", port=4901, allowed=True), Service(name="webcam", port=4902, allowed=False)),
            {"allow_kasm_audio": True, "allow_kasm_webcam": True},
            {"audio": "audio"},
        ),
        ((Service(name="uploads", folder="up", allowed=True),), {}, {"uploads": "up"}),
    ],
)
def test_where_a_session_has_what_it_may_use(
    services: tuple[Service, ...], permissions: dict[str, bool], folders: dict[str, str]
):
    assert folders_of(services, permissions) == folders
