"""How an Agent gets an image."""

from __future__ import annotations

import pytest

from greenroom.core.catalogue.ways import names_registry, way, ways


@pytest.mark.parametrize(
    ("name", "docker_registry", "named"),
    [
        ("greenroom/firefox:0123456789ab", "", False),
        ("desk", "", False),
        ("docker.io/kasmweb/chromium:1.17", "", True),
        ("r.example:5000/desk:1", "", True),
        ("localhost/desk", "", True),
        ("kasmweb/chromium:1.17", "https://index.docker.io/v1/", True),
    ],
)
def test_a_registry_is_named_by_the_image_or_its_workspace(name: str, docker_registry: str, *, named: bool):
    assert names_registry(name, docker_registry) is named
    if named:
        assert ways(name, docker_registry, elsewhere=True, buildable=True) == ("pulling",)


def test_a_copy_is_preferred_to_a_build_and_both_to_a_registry_that_was_not_named():
    def of(*, elsewhere: bool, buildable: bool) -> tuple[str, ...]:
        return ways("greenroom/firefox:0123456789ab", "", elsewhere=elsewhere, buildable=buildable)

    assert of(elsewhere=True, buildable=True) == ("copying", "building")
    assert of(elsewhere=True, buildable=False) == ("copying",)
    assert of(elsewhere=False, buildable=True) == ("building",)
    assert of(elsewhere=False, buildable=False) == ("pulling",)


def test_after_a_failure_the_next_way_is_tried_in_turn():
    assert [way(("copying", "building"), failures) for failures in range(3)] == ["copying", "building", "copying"]
