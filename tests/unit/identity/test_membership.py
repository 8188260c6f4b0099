"""PATCH requests for members of groups: the fast evaluation has the result of the SCIM library."""

from __future__ import annotations

import random
import uuid
from typing import Any

import pytest
from scim2_models import Context, PatchOp

from greenroom.core.errors import Invalid
from greenroom.identity.scim.membership import member_ids_of, patch_group
from greenroom.identity.scim.resources import POLICY, ScimGroup

IDS = [str(uuid.UUID(int=number)) for number in range(1, 7)]


def group_of(*member_ids: str) -> ScimGroup:
    members = [{"value": member_id, "type": "User"} for member_id in member_ids]
    return ScimGroup.model_validate({"displayName": "Staff", "members": members})


def patch_of(*operations: dict[str, Any]) -> PatchOp[ScimGroup]:
    body = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": list(operations)}
    return PatchOp[ScimGroup].model_validate(body, scim_ctx=Context.RESOURCE_PATCH_REQUEST, scim_policy=POLICY)


def operation(chance: random.Random) -> dict[str, Any]:
    """A random operation on members."""
    chosen = chance.sample(IDS, chance.randint(1, 3))
    values = [{"value": user_id, "type": "User"} for user_id in chosen]
    either = " or ".join(f'value eq "{user_id}"' for user_id in chosen)
    return chance.choice(
        [
            {"op": "add", "path": "members", "value": values},
            {"op": "add", "value": {"members": values}},
            {"op": "replace", "path": "members", "value": values},
            {"op": "replace", "value": {"displayName": "All", "members": values}},
            {"op": "remove", "path": "members"},
            {"op": "remove", "path": "members", "value": [{"value": user_id} for user_id in chosen]},
            {"op": "remove", "path": f'members[value eq "{chosen[0]}"]'},
            {"op": "remove", "path": f"members[{either}]"},
            {"op": "replace", "path": "displayName", "value": "New"},
        ]
    )


def test_random_operations_have_the_result_of_the_library():
    chance = random.Random(7)  # noqa: S311 -- no secret
    for _ in range(300):
        present = chance.sample(IDS, chance.randint(0, 4))
        patch = patch_of(*(operation(chance) for _ in range(chance.randint(1, 4))))
        expected, found = group_of(*present), group_of(*present)
        patch.patch(expected, scim_policy=POLICY)
        patch_group(found, patch)
        assert member_ids_of(found) == member_ids_of(expected), patch
        assert found.display_name == expected.display_name


@pytest.mark.parametrize("value", [[{"value": "x"}], [{}], [{"type": "User"}], [5], "x", [{"value": None}]])
def test_a_member_without_a_usable_id_is_refused(value: Any):
    with pytest.raises((Invalid, ValueError)):
        patch_group(group_of(IDS[0]), patch_of({"op": "add", "path": "members", "value": value}))


def test_a_member_may_be_given_by_its_address():
    group = group_of()
    address = f"https://desk.example.org/api/scim/v2/Users/{IDS[0].upper()}"
    patch_group(group, patch_of({"op": "add", "path": "members", "value": [{"$ref": address}]}))
    assert member_ids_of(group) == {IDS[0]}
