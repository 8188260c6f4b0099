"""The target of a request for a stream in its container."""

from __future__ import annotations

import pytest

from greenroom.core.errors import Forbidden
from greenroom.core.session.streams import Target, parse_address, target_of
from greenroom.core.workspace.session_spec import Service, SessionSpec

PREFIX = "/desktop/1a2b3c4d/5e551071-0000-4000-8000-000000000001/"
PAGE = "127.0.0.1:1"
AUDIO = "127.0.0.1:2"


def target(
    rest: str, *, prefix: str = PREFIX, page_path: str = "/", audio: bool = True, running: bool = True
) -> Target:
    spec = SessionSpec(
        image="i",
        image_id="i",
        credential="c",
        page_path=page_path,
        services=(Service(name="audio", port=4901, allowed=audio),),
    )
    asked = parse_address(prefix + rest)
    assert asked is not None
    return target_of(asked, spec, PAGE, {"audio": AUDIO} if running else {})


@pytest.mark.parametrize("rest", ["", "websockify", "uploads/x", "audiobook", "audio.html", "%61udio/", "x/audio/"])
def test_all_that_names_no_service_of_the_image_goes_to_the_page(rest: str):
    assert target(rest) == Target(address=PAGE)


@pytest.mark.parametrize("rest", ["audio", "audio/", "audio/x?y=1", "audio?token=t"])
def test_the_name_of_a_service_leads_to_it_and_is_not_passed_on(rest: str):
    assert target(rest) == Target(address=AUDIO, removed_prefix="/audio")


def test_a_service_that_the_groups_forbid_is_refused():
    with pytest.raises(Forbidden, match=r"may not use audio: the groups of its user do not allow it\."):
        target("audio/", audio=False)


def test_a_service_of_a_container_that_does_not_run_is_refused():
    with pytest.raises(Forbidden, match="does not serve audio now"):
        target("audio/", running=False)


def test_the_page_may_be_in_a_folder():
    assert target("a", page_path="/vnc/") == Target(address=PAGE, base="/vnc")


def test_a_page_that_knows_its_path_is_served_there_alone():
    assert target("a", page_path=PREFIX) == Target(address=PAGE, base=PREFIX.removesuffix("/"))
    other = PREFIX.replace("desktop", "eu")
    assert target("a", prefix=other, page_path=PREFIX).redirect_path == PREFIX


def of_page(rest: str, **allowed: bool) -> str:
    """The message with which this address of a page with its file list at `files…` is refused; empty if it is
    allowed."""
    services = tuple(Service(name=name, folder="files", allowed=value) for name, value in allowed.items())
    spec = SessionSpec(image="i", image_id="i", credential="c", services=services)
    asked = parse_address(PREFIX + rest)
    assert asked is not None
    try:
        assert target_of(asked, spec, PAGE, {}) == Target(address=PAGE)
    except Forbidden as error:
        return error.message
    return ""


@pytest.mark.parametrize(
    "rest", ["files", "files/a", "filesa", "/files/", "///files", "%66iles/", "file%73/socket.io?x"]
)
def test_page_addresses_of_a_forbidden_service_are_refused_in_every_spelling(rest: str):
    assert "may not use downloads" in of_page(rest, downloads=False)
    assert of_page(rest, downloads=True) == ""


def test_what_serves_both_directions_needs_both_permissions():
    assert "may not use uploads" in of_page("files/", uploads=False, downloads=True)
    assert of_page("files/", uploads=True, downloads=True) == ""
    assert of_page("x/files", uploads=False, downloads=False) == ""
