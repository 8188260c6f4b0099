"""Answers of LDAP directories, and the values of filters."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from hypothesis import strategies as st
from tests.unit.properties import for_all

from greenroom.identity.directory import search
from greenroom.identity.directory.client import DirectoryFailed
from greenroom.identity.directory.ldif import DirectoryEntry, LdifInvalid, filter_problem, filter_value, parse_entries
from greenroom.identity.directory.statements import DirectoryFields

FIELDS = DirectoryFields(
    title="Campus",
    servers=["ldaps://ldap.example"],
    tls="ldaps",
    ca_pem="",
    bind_dn="",
    user_base="dc=example",
    user_filter="(objectClass=person)",
    login_attributes=["uid", "mail"],
    id_attribute="objectGUID",
    attributes={"organization": "O"},
    group_base="",
    group_filter="(objectClass=*)",
    membership="member",
    rules=[],
    enabled=True,
    create_users=False,
    rule_required=False,
    sync_s=0,
    grace_s=0,
)


def _meaning(value: str) -> bytes:
    """The octets that a value of a filter stands for (RFC 4515)."""
    return re.sub(rb"\\([0-9a-f]{2})", lambda match: bytes.fromhex(match[1].decode()), value.encode())


def _without_parentheses(value: str) -> str:
    return value.replace("(", "\\28").replace(")", "\\29")


def _without_stars(value: str) -> str:
    return _without_parentheses(value).replace("*", "\\2a")


@for_all(st.text(), subject=filter_value, mutants=[str, _without_parentheses, _without_stars])
def test_any_name_is_only_a_value_in_a_filter(subject: Callable[[str], str], text: str):
    value = subject(text)
    assert not set(value) & set("()*\0")
    assert _meaning(value) == text.encode()


def _unfolded(lines: list[bytes]) -> list[bytes]:
    return [b": ".join([b"cn", line]) for line in lines]


@for_all(
    st.lists(st.binary(max_size=40), min_size=1, max_size=4),
    subject=lambda lines: [b"cn:: " + b64encode(line) for line in lines],
    mutants=[_unfolded],
)
def test_any_value_is_read_from_base64(subject: Callable[[list[bytes]], list[bytes]], values: list[bytes]):
    answer = b"dn: cn=a\n" + b"\n".join(subject(values)) + b"\n"
    try:
        (entry,) = parse_entries(answer)
    except (LdifInvalid, ValueError) as error:
        raise AssertionError from error
    assert entry.values["cn"] == values


def test_an_answer_has_entries_without_comments_and_references():
    answer = b"# a\n b\ndn: cn=a\ncn: a\n b\nMember;range=0-1: x\n\nref: ldap://other\n\n\ndn:: Y249Yg==\n# end\n"
    assert parse_entries(answer) == [
        DirectoryEntry("cn=a", {"cn": [b"ab"], "member": [b"x"]}),
        DirectoryEntry("cn=b", {}),
    ]


@pytest.mark.parametrize(
    "answer",
    [b"dn: cn=a\njpegPhoto:< file:///etc/passwd\n", b"cn: a\n", b"dn: cn=a\nx\n", b"dn:: \xff\n", b"dn:: /w==\n"],
)
def test_an_answer_that_is_not_ldif_is_refused(answer: bytes):
    with pytest.raises(LdifInvalid):
        parse_entries(answer)


@pytest.mark.parametrize("text", ["(a=b)", "(&(a=b)(c=*))", "(!(a=b))"])
def test_a_filter_in_parentheses_can_be_used(text: str):
    assert filter_problem(text) is None


@pytest.mark.parametrize("text", ["", "a=b", "()", "(a=b", "(a=b))", "(a=b)(c=d)", ")a=b(", "(a=\n)"])
def test_a_text_that_is_not_one_filter_is_refused(text: str):
    assert filter_problem(text) is not None


def test_the_filter_of_a_name_compares_all_attributes():
    expected = "(&(objectClass=person)(|(uid=a\\2a)(mail=a\\2a)))"
    assert search.username_filter(FIELDS, "a*") == expected


GUID = UUID("00112233-4455-6677-8899-aabbccddeeff")


@pytest.mark.parametrize(
    ("control", "is_disabled"), [(b"512", False), (b"514", True), (b"66050", True), (b"x", False), (b"-1", False)]
)
def test_a_user_of_active_directory(control: bytes, is_disabled: bool):
    entry = DirectoryEntry("cn=a", {"objectguid": [GUID.bytes_le], "useraccountcontrol": [control], "photo": [b"\xff"]})
    user = search.read_user(FIELDS, entry)
    assert (user.subject, user.is_disabled, user.claims["photo"]) == (str(GUID), is_disabled, [])


@pytest.mark.parametrize("values", [{}, {"objectguid": [b"a", b"b"]}, {"objectguid": [b""]}, {"objectguid": [b"a\n"]}])
def test_a_user_without_one_id_is_refused(values: dict[str, Any]):
    with pytest.raises(DirectoryFailed):
        search.read_user(FIELDS, DirectoryEntry("cn=a", values))


def test_an_id_of_active_directory_is_searched_by_its_octets():
    octets = "3\\22\\11\\00UDwf\\88\\99\\aa\\bb\\cc\\dd\\ee\\ff"
    assert search.subject_filter(FIELDS, [str(GUID)]) == f"(&(objectClass=person)(|(objectGUID={octets})))"


@pytest.mark.parametrize(
    ("data", "problem"),
    [("532", "the password has expired"), ("533", "the account is disabled"), ("52e", None), ("775", None)],
)
def test_only_the_right_password_shows_the_state_of_an_account(data: str, problem: str | None):
    answer = (
        f"additional info: 80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data {data}, v1db1"
    )
    assert search.account_problem(f"ldap_bind: Invalid credentials (49); {answer}") == problem
    assert search.account_problem(f"ldap_bind: Invalid credentials (49); data {data}") is None
