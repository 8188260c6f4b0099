"""The entries of the catalogue: built-in ones and those of other lists, with the known facts about them."""

from __future__ import annotations

import pytest

from greenroom.core.catalogue.entries import (
    CatalogueEntry,
    CatalogueWorkspace,
    entry_of_list,
    entry_of_recipe,
    entry_statuses,
    free_name,
    parse,
    workspace_update,
)
from greenroom.core.catalogue.published import ListedWorkspace

RECIPE = {
    "friendly_name": "Firefox",
    "description": "The browser of Mozilla.",
    "categories": ["Browsers"],
    "kind": "application",
    "application": {"command": "firefox"},
    "workspace": {"cores": 1.5, "memory_mb": 1000},
}
OURS = entry_of_recipe(parse("firefox", RECIPE), "greenroom/firefox:new", "/picture")
THEIRS = entry_of_list(
    "acme", ListedWorkspace(name="firefox", friendly_name="Firefox", image="acme/firefox:1", size_bytes=7)
)


def known(
    name: str, entry: str | None = None, image: str | None = None, start_s: float | None = None
) -> CatalogueWorkspace:
    return CatalogueWorkspace(
        image_id=f"id of {name}", name=name, catalogue_name=entry, catalogue_image=image, start_s=start_s
    )


def test_an_entry_has_the_fields_of_the_workspace_made_from_it():
    assert (OURS.name, OURS.image, OURS.friendly_name) == ("firefox", "greenroom/firefox:new", "Firefox")
    assert (OURS.description, OURS.categories) == ("The browser of Mozilla.", ["Browsers"])
    assert (OURS.workspace["cores"], OURS.workspace["memory"]) == (1.5, 1000 << 20)
    assert OURS.workspace["image_src"] == "/picture"


def test_an_entry_of_another_list_is_prefixed_with_its_name_and_has_only_its_fields():
    assert (THEIRS.name, THEIRS.source, THEIRS.image) == ("acme/firefox", "acme", "acme/firefox:1")
    assert "cores" not in THEIRS.workspace
    given = entry_of_list("acme", ListedWorkspace(name="x", friendly_name="X", image="x:1", cores=3, memory=10**9))
    assert (given.workspace["cores"], given.workspace["memory"]) == (3, 10**9)


def test_entries_of_greenroom_come_first_then_the_others_by_friendly_name():
    other = CatalogueEntry(name="code", workspace={"name": "c", "friendly_name": "Code"})
    statuses = entry_statuses([THEIRS, OURS, other], [], {})
    assert [each.entry.name for each in statuses] == ["code", "firefox", "acme/firefox"]


@pytest.mark.parametrize(("image_then", "update"), [("greenroom/firefox:old", True), ("greenroom/firefox:new", False)])
def test_an_update_is_offered_when_the_image_of_the_entry_has_changed_since(image_then: str, *, update: bool):
    (entry,) = entry_statuses([OURS], [known("registry.example/firefox", "firefox", image_then)], {})
    assert (entry.workspace is not None, entry.update_available) == (True, update)


def test_an_update_adds_the_services_for_programs_and_keeps_other_fields():
    assert workspace_update(OURS, {}) == {"name": "greenroom/firefox:new", "port_map": {"desk": "desk"}}
    assert workspace_update(OURS, {"audio": 4901})["port_map"] == {"audio": 4901, "desk": "desk"}
    assert workspace_update(OURS, {"desk": 5000}) == {"name": "greenroom/firefox:new"}
    assert workspace_update(THEIRS, {"audio": 4901}) == {"name": "acme/firefox:1"}


def test_an_entry_not_added_has_no_update_if_a_workspace_uses_its_image():
    (entry,) = entry_statuses([OURS], [known("greenroom/firefox:new", start_s=2.0)], {})
    assert (entry.workspace, entry.update_available, entry.first_frame_ms) == (None, False, 2000)


def test_the_first_frame_time_is_that_of_its_own_workspace_if_measured():
    other = known("greenroom/firefox:new", start_s=2.0)
    own = known("greenroom/firefox:new", "firefox", "greenroom/firefox:new", start_s=3.1416)
    assert [e.first_frame_ms for e in entry_statuses([OURS], [other, own], {})] == [3142]
    unmeasured = known("greenroom/firefox:old", "firefox", "greenroom/firefox:old")
    assert [e.first_frame_ms for e in entry_statuses([OURS], [other, unmeasured], {})] == [2000]
    assert [e.first_frame_ms for e in entry_statuses([OURS], [unmeasured], {})] == [None]


def test_the_size_is_that_of_the_image_in_use_else_of_the_entry_else_as_published():
    own = known("mine:1", "acme/firefox", "acme/firefox:1")
    assert [e.size_bytes for e in entry_statuses([THEIRS], [own], {"mine:1": 5, "acme/firefox:1": 6})] == [5]
    assert [e.size_bytes for e in entry_statuses([THEIRS], [own], {"acme/firefox:1": 6})] == [6]
    assert [e.size_bytes for e in entry_statuses([THEIRS], [], {"acme/firefox:1": 0})] == [7]
    assert [e.size_bytes for e in entry_statuses([OURS], [], {})] == [None]


def test_a_taken_name_gets_the_next_free_number():
    assert free_name("Desktop", {"Terminal"}) == "Desktop"
    assert free_name("Desktop", {"Desktop", "Desktop 2"}) == "Desktop 3"
