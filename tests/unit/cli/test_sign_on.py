"""The tests of sign-on providers and directories on the command line."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.unit.cli.conftest import Done, Pretended

ID = "6f1c52a4-9f0e-4c53-8d0b-3a5f0c9c2b11"


@pytest.mark.parametrize("noun", ["sign-on-providers", "directories"])
@pytest.mark.parametrize("passed", [True, False])
def test_each_step_of_a_test_is_one_line(api: Pretended, greenroom: Callable[..., Done], noun: str, passed: bool):
    steps = [
        {"step": "host", "passed": True, "detail": "idp.example.org is 192.0.2.7.", "duration_ms": 1.0},
        {"step": "connection", "passed": passed, "detail": "Correct the port.", "duration_ms": 2.0},
    ]
    api.answers[("POST", f"/{noun}/{ID}/test")] = {"passed": passed, "steps": steps}
    done = greenroom(noun, "test", ID)
    result = "passed" if passed else "failed"
    assert done.out.splitlines() == [
        "host: passed. idp.example.org is 192.0.2.7.",
        f"connection: {result}. Correct the port.",
    ]
    assert (done.code, greenroom(noun, "test", ID, "--json").json["steps"]) == (int(not passed), steps)


GROUP = "9756cb25-f886-495f-a612-4bb6080e87b9"


@pytest.mark.parametrize("noun", ["sign-on-providers", "directories"])
@pytest.mark.parametrize(
    ("option", "rule"),
    [
        ("Staff=groups:/staff", ("groups", "/staff")),
        ("Staff=memberOf:cn=staff,ou=groups,dc=example,dc=org", ("memberOf", "cn=staff,ou=groups,dc=example,dc=org")),
        ('{"group": "Staff", "claim": "urn:oid:1.3", "value": "*"}', ("urn:oid:1.3", "*")),
    ],
)
def test_an_option_for_rules_contains_a_group_a_claim_and_a_value(
    api: Pretended, greenroom: Callable[..., Done], noun: str, option: str, rule: tuple[str, str]
):
    claim, value = rule
    api.answers = {("GET", "/groups"): [{"group_id": GROUP, "name": "Staff"}], ("PATCH", f"/{noun}/{ID}"): {}}
    assert greenroom(noun, "update", ID, "--rule", option).code == 0
    assert api.last == ("PATCH", f"/{noun}/{ID}", {"rules": [{"claim": claim, "value": value, "group_id": GROUP}]})
    assert "is no rule; specify GROUP=CLAIM:VALUE" in greenroom(noun, "update", ID, "--rule", "Staff=groups").err
