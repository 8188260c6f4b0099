"""The methods with which an Agent fetches an image."""

from __future__ import annotations

import pytest

from greenroom.core.catalogue.fetch_methods import FetchChoice, fetch_methods, method_after_failures, names_registry


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
        found = fetch_methods(name, docker_registry, elsewhere=True, buildable=True)
        assert [one.method for one in found] == ["pulling"]


def test_a_copy_is_preferred_to_a_build_and_both_to_a_registry_that_was_not_named():
    def of(*, elsewhere: bool, buildable: bool) -> list[str]:
        return [
            one.method
            for one in fetch_methods("greenroom/firefox:0123456789ab", "", elsewhere=elsewhere, buildable=buildable)
        ]

    assert of(elsewhere=True, buildable=True) == ["copying", "building"]
    assert of(elsewhere=True, buildable=False) == ["copying", "pulling"]
    assert of(elsewhere=False, buildable=True) == ["building"]
    assert of(elsewhere=False, buildable=False) == ["pulling"]


@pytest.mark.parametrize("elsewhere", [True, False])
@pytest.mark.parametrize("buildable", [True, False])
def test_each_method_has_its_reason_as_a_sentence(*, elsewhere: bool, buildable: bool):
    for name in ("greenroom/firefox:0123456789ab", "r.example:5000/desk:1"):
        for one in fetch_methods(name, "", elsewhere=elsewhere, buildable=buildable):
            assert one.reason[0].isupper()
            assert one.reason.endswith(".")


def test_after_a_failure_the_next_method_is_tried():
    both = (FetchChoice("copying", "C."), FetchChoice("building", "B."))
    assert [method_after_failures(both, failures).method for failures in range(3)] == ["copying", "building", "copying"]
