"""Variables of workspaces, groups and launches: sealed where they are stored, masked where they are shown."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.core.errors import Invalid, SetupError
from greenroom.core.masking import MASK, sealed, shown
from greenroom.kit.secrets import SEALED, Secrets

SECRETS = Secrets(b"k" * 32)
STORED = {
    "run_config": {"hostname": "desk", "environment": {"TOKEN": "canary", "EMPTY": ""}},
    "exec_config": {"go": {"cmd": "open", "environment": {"PIN": "1234"}}},
    "categories": ["office", {"environment": "of an author"}],
    "zone_id": None,
}


def seal(value: object, before: object = None) -> Any:
    return sealed(value, before, SECRETS.seal)


def test_only_variables_are_sealed_and_come_back():
    kept = seal(STORED)
    assert kept["run_config"]["hostname"] == "desk"
    assert kept["categories"] == STORED["categories"]
    assert all(text.startswith(SEALED) for text in kept["run_config"]["environment"].values())
    assert "canary" not in str(kept)
    assert "1234" not in str(kept)
    assert shown(kept, SECRETS.opened, plain=True) == STORED


def test_who_may_not_change_it_sees_names_alone():
    seen = shown(seal(STORED), SECRETS.opened, plain=False)
    assert seen["run_config"] == {"hostname": "desk", "environment": {"TOKEN": MASK, "EMPTY": MASK}}
    assert seen["exec_config"]["go"] == {"cmd": "open", "environment": {"PIN": MASK}}


def test_what_comes_back_masked_stays_and_what_is_new_is_sealed():
    before = seal(STORED)
    seen = shown(before, SECRETS.opened, plain=False)
    assert seal(seen, before) == before
    seen["run_config"]["environment"]["TOKEN"] = "another"
    after = seal(seen, before)
    assert shown(after, SECRETS.opened, plain=True)["run_config"]["environment"] == {"TOKEN": "another", "EMPTY": ""}
    with pytest.raises(Invalid, match="give its value"):
        seal({"run_config": {"environment": {"NEW": MASK}}}, before)


def test_rows_of_older_versions_are_read_as_they_are():
    assert shown(STORED, SECRETS.opened, plain=True) == STORED


@given(st.text(alphabet=st.characters(blacklist_characters="\0", blacklist_categories=["Cs"])))
def test_the_same_text_is_sealed_alike_and_opened_by_one_key_only(text: str):
    assert SECRETS.seal(text) == SECRETS.seal(text)
    assert SECRETS.opened(SECRETS.seal(text)) == text
    with pytest.raises(SetupError, match="another key"):
        Secrets(b"x" * 32).opened(SECRETS.seal(text))
