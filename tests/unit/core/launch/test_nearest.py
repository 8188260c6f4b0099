"""Launches begin in the permitted zone with the shortest round trip from the user's browser."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import for_all

from greenroom.core.launch.nearest import NEARER_BY_MS, nearest_zone, round_trip_targets
from greenroom.core.launch.plan import LaunchZone
from greenroom.core.session.streams import ProxyFacts
from greenroom.core.workspace.spec_builder import ImageFacts, ZoneFacts

DIRECT = ProxyFacts(proxy_connections=False, proxy_port=8443)
IMAGE = ImageFacts(image_id="i", name="desktop", friendly_name="Desktop", memory=200, cores=2)


def zone(name: str, proxy: ProxyFacts = DIRECT, *, alternate: bool = True) -> LaunchZone:
    facts = ZoneFacts(zone_id=f"id-{name}", zone_name=name)
    return LaunchZone(facts=facts, proxy=proxy, search_alternate_zones=alternate)


EU, US = zone("eu", ProxyFacts()), zone("us")
NEAR_US = {"id-eu": 80.0, "id-us": 12.0}


def test_the_zone_with_the_shorter_round_trip_is_nearest_and_it_says_by_how_much():
    nearest = nearest_zone([EU, US], "id-eu", IMAGE, NEAR_US)
    assert nearest is not None
    assert nearest.zone_id == "id-us"
    assert "zone us, which is nearer" in nearest.text
    assert "12 ms rather than 80 ms" in nearest.text


@pytest.mark.parametrize(
    ("zones", "image", "measured"),
    [
        pytest.param([EU, US], IMAGE, {"id-us": 1.0}, id="the way to the current zone is not known"),
        pytest.param([EU, US], IMAGE, {"id-eu": 80.0}, id="the way to the other zone is not known"),
        pytest.param([EU, US], IMAGE, {"id-eu": 12.0, "id-us": 9.0}, id="within what measurements differ"),
        pytest.param([EU, zone("us", ProxyFacts())], IMAGE, NEAR_US, id="its streams pass this gateway"),
        pytest.param([EU, zone("us", alternate=False)], IMAGE, NEAR_US, id="a launch there would not come back"),
        pytest.param([zone("eu", alternate=False), US], IMAGE, NEAR_US, id="other zones are not searched"),
        pytest.param([EU, US], replace(IMAGE, only_zone_id="id-us"), NEAR_US, id="the workspace has its zone"),
    ],
)
def test_a_launch_begins_in_the_current_zone_where(
    zones: list[LaunchZone], image: ImageFacts, measured: dict[str, float]
):
    assert nearest_zone(zones, "id-eu", image, measured) is None


@for_all(
    st.dictionaries(st.sampled_from(["id-eu", "id-us", "id-ap", "id-gone"]), st.floats(0, 60_000)),
    subject=nearest_zone,
    mutants=[
        lambda zones, *others: nearest_zone(zones[:2], *others),
        lambda zones, here, image, measured: nearest_zone(
            zones, here, image, {name: ms + NEARER_BY_MS * (name == here) for name, ms in measured.items()}
        ),
    ],
)
def test_no_zone_that_may_be_used_is_nearer_than_the_one_found(subject: Any, measured: dict[str, float]):
    zones = [EU, US, zone("ap")]
    nearest = subject(zones, "id-eu", IMAGE, measured)
    if nearest is not None:
        assert measured[nearest.zone_id] <= measured["id-eu"] - NEARER_BY_MS
        assert measured[nearest.zone_id] <= min(ms for name, ms in measured.items() if name != "id-gone")


def test_a_browser_measures_the_gateways_at_which_streams_are():
    edges = {"id-us": ["https://c:1", "https://a:1", "https://b:1", "https://d:1"]}
    here, there = round_trip_targets([EU, US], "id-eu", edges, "green.example:8443")
    assert (here.zone_name, here.current, here.addresses) == ("eu", True, ("",))
    assert (there.zone_name, there.current, there.addresses) == (
        "us",
        False,
        ("https://a:1", "https://b:1", "https://c:1"),
    )


def test_without_edge_gateways_streams_are_at_the_port_of_the_zone():
    _, there = round_trip_targets([EU, US], "id-eu", {}, "green.example:8443")
    assert there.addresses == ("https://green.example:8443",)


def test_there_is_nothing_to_measure_where_there_is_no_choice():
    assert round_trip_targets([EU, zone("us", ProxyFacts())], "id-eu", {}, "green.example") == ()
