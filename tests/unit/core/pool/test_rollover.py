"""The effect of a change of a workspace on its staged sessions."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from greenroom.core.pool.rotation import EFFECTS, Rollover, rollover
from greenroom.core.workspace.definition import Definition

A, B = {"/a": {"bind": "/a"}}, {"/b": {"bind": "/b"}}
BEFORE = Definition(name="desktop:1", friendly_name="Desktop", volume_mappings=A)


@pytest.mark.parametrize(
    ("change", "means"),
    [
        ({}, Rollover.KEEP),
        ({"description": "x"}, Rollover.KEEP),
        ({"persistent_profile_path": "/srv/{user_id}"}, Rollover.KEEP),
        ({"name": "desktop:2"}, Rollover.REPLACE),
        ({"cores": 4.0, "memory": 1}, Rollover.REPLACE),
        ({"volume_mappings": A | B}, Rollover.REPLACE),
        ({"volume_mappings": {}}, Rollover.END),
        ({"volume_mappings": {"/a": {"bind": "/elsewhere"}} | B}, Rollover.END),
        ({"run_config": {"hostname": "a"}}, Rollover.END),
        ({"filter_policy_id": "p"}, Rollover.END),
        ({"name": "desktop:2", "filter_policy_force_disabled": True}, Rollover.END),
    ],
)
def test_the_change_with_the_largest_effect_counts(change: dict[str, Any], means: Rollover):
    assert rollover(BEFORE, replace(BEFORE, **change)) is means


def test_the_table_names_fields_of_a_workspace():
    assert set(EFFECTS) <= {field.name for field in fields(Definition)}
