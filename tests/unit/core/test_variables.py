"""Variables of workspaces, groups and launches: encrypted in the database, masked in answers."""

from __future__ import annotations

from typing import Any

import pytest

from greenroom.core.errors import Invalid
from greenroom.core.masking import MASK, seal_variables, unseal_variables

SEALED = "sealed:"
STORED = {
    "run_config": {"hostname": "desk", "environment": {"TOKEN": "canary", "EMPTY": ""}},
    "exec_config": {"go": {"cmd": "open", "environment": {"PIN": "1234"}}},
    "categories": ["office", {"environment": "of an author"}],
    "zone_id": None,
}


def unseal(text: str) -> str:
    """Read values like `Secrets.unseal`: values that are not sealed are plain."""
    return text[len(SEALED) :][::-1] if text.startswith(SEALED) else text


def seal(value: object, before: object = None) -> Any:
    return seal_variables(value, before, lambda text: SEALED + text[::-1])


def test_only_variables_are_sealed_and_come_back():
    kept = seal(STORED)
    assert kept["run_config"]["hostname"] == "desk"
    assert kept["categories"] == STORED["categories"]
    assert all(text.startswith(SEALED) for text in kept["run_config"]["environment"].values())
    assert "canary" not in str(kept)
    assert "1234" not in str(kept)
    assert unseal_variables(kept, unseal, plain=True) == STORED


def test_who_may_not_change_it_sees_names_alone():
    seen = unseal_variables(seal(STORED), unseal, plain=False)
    assert seen["run_config"] == {"hostname": "desk", "environment": {"TOKEN": MASK, "EMPTY": MASK}}
    assert seen["exec_config"]["go"] == {"cmd": "open", "environment": {"PIN": MASK}}


def test_what_comes_back_masked_stays_and_what_is_new_is_sealed():
    before = seal(STORED)
    seen = unseal_variables(before, unseal, plain=False)
    assert seal(seen, before) == before
    seen["run_config"]["environment"]["TOKEN"] = "another"
    after = seal(seen, before)
    assert unseal_variables(after, unseal, plain=True)["run_config"]["environment"] == {"TOKEN": "another", "EMPTY": ""}
    with pytest.raises(Invalid, match="Set its value"):
        seal({"run_config": {"environment": {"NEW": MASK}}}, before)


def test_values_that_are_not_sealed_are_read_as_they_are():
    assert unseal_variables(STORED, unseal, plain=True) == STORED
