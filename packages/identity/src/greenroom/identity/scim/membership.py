"""PATCH requests for groups. All functions are pure.

The SCIM library compares all members after each operation. A provider sends one operation per member, so a request for
a large group would take minutes. This module therefore applies the usual operations on members to a set of ids.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, cast
from uuid import UUID

from scim2_models import PatchOp, PatchOperation, Path
from scim2_models.path import AttrPath, CompareOperator, Comparison, ValuePath

from greenroom.core.errors import Invalid
from greenroom.identity.scim.resources import POLICY, GroupMember, ScimGroup

Op = PatchOperation.Op
_MEMBERS: Final = "members"


@dataclass(frozen=True, slots=True)
class _MemberOperation:
    """An operation on whole members. `user_ids` None = all members."""

    op: Op
    user_ids: frozenset[str] | None


def patch_group(group: ScimGroup, patch: PatchOp[ScimGroup]) -> None:
    """Apply the operations of a request to a group, in their order.

    Raises:
        Invalid: a member has no usable id.
        SCIMException: an operation is not possible.
    """
    member_ids, known = set(member_ids_of(group)), {member.value: member for member in group.members or []}
    group.members = None
    for operation in patch.operations or []:
        for part in _parts(operation):
            member_operation = _member_operation(part)
            if member_operation is not None:
                _apply(member_operation, member_ids)
                continue
            touches_members = part.path is not None and part.path.parts[:1] == (_MEMBERS,)
            if touches_members:
                group.members = _members(member_ids, known)
            PatchOp[ScimGroup](Operations=[part]).patch(group, scim_policy=POLICY)
            if touches_members:
                member_ids = set(member_ids_of(group))
                group.members = None
    group.members = _members(member_ids, known)


def member_ids_of(group: ScimGroup) -> frozenset[str]:
    """Return the ids of the members of a group. Raises Invalid: a member has no id, or is not a user."""
    return frozenset(_user_id(member) for member in group.members or [])


def _user_id(member: GroupMember) -> str:
    user_id = member.value or (member.ref or "").rpartition("/")[2]
    if (member.type or "User").lower() != "user":
        raise Invalid("Members of a group must be users; groups in groups are not supported.", scim_type="invalidValue")
    try:
        return str(UUID(user_id))
    except ValueError as error:
        raise unknown_member(user_id) from error


def unknown_member(user_id: str) -> Invalid:
    """Return the error for a member that is no user of the client."""
    return Invalid(
        f"There is no user {user_id[:100]!r}; each value in members must be the id of a user that this client created.",
        scim_type="invalidValue",
    )


def _members(member_ids: set[str], known: dict[str | None, GroupMember]) -> list[GroupMember] | None:
    return [
        known.get(user_id) or GroupMember.model_validate({"value": user_id, "type": "User"})
        for user_id in sorted(member_ids)
    ] or None


def _parts(operation: PatchOperation[ScimGroup]) -> Iterator[PatchOperation[ScimGroup]]:
    """Yield the operation; one without a path whose value has `members` is split into two operations."""
    value = cast("dict[str, Any]", operation.value)
    if operation.path is not None or not isinstance(operation.value, dict):
        yield operation
        return
    members = [content for name, content in value.items() if name.lower() == _MEMBERS]
    others = {name: content for name, content in value.items() if name.lower() != _MEMBERS}
    for content in members:
        yield PatchOperation[ScimGroup](op=operation.op, path=Path[ScimGroup](_MEMBERS), value=content)
    if others or not members:
        yield PatchOperation[ScimGroup](op=operation.op, value=others)


def _member_operation(operation: PatchOperation[ScimGroup]) -> _MemberOperation | None:
    """Return the operation on whole members; None if it is another operation."""
    node = operation.path.ast if operation.path is not None else None
    match node:
        case AttrPath(attr=attr, sub_attr=None) if attr.lower() == _MEMBERS:
            is_all = operation.value is None and operation.op != Op.add
            return _MemberOperation(operation.op, None if is_all else _ids_of_value(operation.value))
        case ValuePath(
            attr_path=AttrPath(attr=attr),
            val_filter=Comparison(
                attr_path=AttrPath(attr=compared, sub_attr=None), op=CompareOperator.eq, value=user_id
            ),
            sub_attr=None,
        ) if attr.lower() == _MEMBERS and compared.lower() == "value" and operation.op == Op.remove:
            return _MemberOperation(operation.op, frozenset({str(user_id).lower()}))
        case _:
            return None


def _ids_of_value(value: Any) -> frozenset[str]:
    entries = cast("list[Any]", value if isinstance(value, list) else [value])
    members = [GroupMember.model_validate({"value": entry} if isinstance(entry, str) else entry) for entry in entries]
    return frozenset(map(_user_id, members))


def _apply(operation: _MemberOperation, member_ids: set[str]) -> None:
    if operation.op == Op.replace_ or operation.user_ids is None:
        member_ids.clear()
    if operation.op == Op.remove:
        member_ids.difference_update(operation.user_ids or ())
    else:
        member_ids.update(operation.user_ids or ())
