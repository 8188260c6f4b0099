"""Foreign lists of workspaces: the entries that are used, and the messages about the others."""

from __future__ import annotations

import json
from typing import Any

import pytest

from greenroom.core.catalogue.published import (
    MAX_BYTES,
    MAX_ENTRIES,
    MAX_LEFT_OUT,
    MAX_TEXT,
    ListedWorkspace,
    PublishedList,
    list_address,
    read_list,
)
from greenroom.core.errors import Invalid

ADDRESS = "https://registry.example/stable/1.1/list.json"
EDITOR: dict[str, Any] = {
    "friendly_name": "Editor",
    "compatibility": [{"version": "1.17.x", "image": "acme/editor:1.17"}],
}


def read(*workspaces: object) -> PublishedList:
    return read_list(json.dumps({"workspaces": workspaces}).encode(), ADDRESS)


def only(**fields: object) -> ListedWorkspace:
    found = read(EDITOR | fields)
    assert found.left_out == ()
    return found.entries[0]


def left_out(**fields: object) -> str:
    found = read(EDITOR | fields)
    assert found.entries == ()
    return found.left_out[0]


def test_the_list_of_a_registry_is_at_the_place_for_its_schema():
    assert list_address("https://registry.example/") == "https://registry.example/1.1/list.json"
    assert list_address("https://registry.example/a/b.json?x=1") == "https://registry.example/a/b.json?x=1"


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"7", b'{"workspaces": {}}', b"{", b'{"workspaces": null}', b"\xff", b"[" * 9999]
)
def test_what_is_no_list_is_an_error_that_names_the_address(content: bytes):
    with pytest.raises(Invalid, match=r"registry\.example.* is not a list of workspaces"):
        read_list(content, ADDRESS)


def test_the_newest_version_is_used_by_its_numbers():
    versions = [("1.9.x", 9), ("1.17.x", 17), ("1.10.x", 10), ("develop", 0)]
    made = [{"version": version, "image": f"acme/editor:{tag}"} for version, tag in versions]
    assert only(compatibility=made).image == "acme/editor:17"


def test_an_older_list_has_the_image_as_its_name():
    found = only(compatibility=None, name="acme/editor:1.12")
    assert (found.name, found.image) == ("editor", "acme/editor:1.12")


def test_a_name_is_taken_as_given_or_made_of_the_friendly_name():
    assert only(name="text-editor").name == "text-editor"
    assert only(name="Acme/Editor").name == "editor"
    assert only(friendly_name=" Ünïcode Editor (64 bit) ").name == "n-code-editor-64-bit"
    assert "no letters" in left_out(friendly_name="编辑器")
    assert only(friendly_name="编辑器", name="editor").friendly_name == "编辑器"


def test_what_a_workspace_says_of_itself_is_kept():
    found = only(
        description="Text.\0",
        categories=["Office", "Office", ""],
        docker_registry="https://index.docker.io/v1/",
        cores=2,
        memory=2_768_000_000,
        run_config={"hostname": "kasm"},
        exec_config={"go": {"cmd": "open"}},
        compatibility=[{"image": "acme/editor:1", "uncompressed_size_mb": 1500}],
    )
    assert (found.description, found.categories, found.docker_registry) == (
        "Text.",
        ("Office",),
        "https://index.docker.io/v1/",
    )
    assert (found.cores, found.memory, found.size_bytes) == (2.0, 2_768_000_000, 1_500_000_000)
    assert (found.run_config, found.exec_config) == ({"hostname": "kasm"}, {"go": {"cmd": "open"}})


def test_numbers_that_say_nothing_are_none_and_large_ones_bounded():
    assert (only(cores=0).cores, only(cores=-1).cores, only(cores=10**6).cores) == (None, None, 4096)
    assert (only(memory=0).memory, only(memory=512).memory, only(memory=1e300).memory) == (None, 512_000_000, MAX_BYTES)
    assert len(only(description="x" * 9999).description) == MAX_TEXT


@pytest.mark.parametrize(
    ("source", "address"),
    [
        ("editor.png", "https://registry.example/stable/1.1/icons/editor.png"),
        ("../img/editor.png", "https://registry.example/stable/img/editor.png"),
        ("https://cdn.example/editor.png", "https://cdn.example/editor.png"),
        ("data:image/png;base64,AAAA/", ""),
        ("//[", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_a_picture_lies_beside_the_list_or_at_an_address(source: str | None, address: str):
    assert only(image_src=source).picture_url == address


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"friendly_name": "a/b"}, "one line without a slash"),
        ({"friendly_name": "a\nb"}, "one line without a slash"),
        ({"friendly_name": " "}, "one line without a slash"),
        ({"friendly_name": None}, "Workspace 1 of the list is omitted"),
        ({"description": 7}, "Workspace 1 of the list is omitted"),
        ({"compatibility": []}, "not the reference of an image"),
        ({"compatibility": [{"image": "../x"}]}, "not the reference of an image"),
        ({"compatibility": [{"image": "a" * 300}]}, "not the reference of an image"),
        ({"docker_registry": "https://evil.example"}, "Editor is omitted: The image acme/editor:1.17 comes from"),
        ({"run_config": {"privileged": True}}, "may not set `privileged`"),
        ({"run_config": {"hostname": "a\0"}}, "Editor is omitted"),
        ({"exec_config": {"boot": {"cmd": "x"}}}, "There is no command boot"),
        ({"exec_config": {"go": {"cmd": "x\0y"}}}, "Editor is omitted"),
    ],
)
def test_a_workspace_that_cannot_be_used_is_left_out_with_the_reason(fields: dict[str, object], words: str):
    assert words in left_out(**fields)


def test_half_of_a_surrogate_pair_refuses_only_its_workspace():
    found = read(EDITOR | {"friendly_name": "Odd", "description": "\ud800"}, EDITOR)
    assert [entry.name for entry in found.entries] == ["editor"]
    assert found.left_out[0].startswith("Workspace 1 of the list is omitted")


def test_others_are_not_affected_and_the_sentences_are_bounded():
    found = read(*[7] * (MAX_LEFT_OUT + 5), EDITOR, EDITOR)
    assert [entry.name for entry in found.entries] == ["editor"]
    assert len(found.left_out) == MAX_LEFT_OUT + 1
    assert found.left_out[-1] == "6 more are omitted."
    assert read(EDITOR, EDITOR).left_out == ("Editor is in the list twice.",)


def test_a_long_list_is_cut():
    found = read(*[EDITOR | {"friendly_name": f"Editor {number}"} for number in range(MAX_ENTRIES + 1)])
    assert len(found.entries) == MAX_ENTRIES
    assert f"has {MAX_ENTRIES + 1} workspaces" in found.left_out[0]
