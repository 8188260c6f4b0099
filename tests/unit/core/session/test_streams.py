"""Addresses of streams, and the order in which api and Agent refuse."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import strategies as st
from tests.unit.properties import for_all

from greenroom.core.session.authorization import REQUIRES_RECORDING, SessionFacts
from greenroom.core.session.states import SessionStatus
from greenroom.core.session.streams import (
    API_ONLY,
    LEASE_TOKEN,
    PROGRAM_FOLDERS,
    PROGRAMS_ONLY,
    Access,
    AnyAccess,
    Grant,
    PermittedViewers,
    StreamFacts,
    act_of_request,
    lease_token_in,
    parse_address,
    printable,
    refusal_by_agent,
    refusal_by_api,
    refusal_of_request,
    refusal_of_upload,
    still_holds,
)

ID = "0f6e8a52-0000-4000-8000-00000000abcd"
PATH = f"/desktop/1a2b3c4d/{ID}/"


def test_an_address_names_route_and_session():
    address = parse_address(f"{PATH}a/b?x=1")
    assert address is not None
    assert (address.prefix, address.route, address.session_id) == (PATH, "1a2b3c4d", ID)
    assert (address.rest, address.query, address.token) == ("a/b", "x=1", "")
    plain = parse_address(PATH)
    assert plain is not None
    assert (plain.rest, plain.query, plain.token, plain.without_token) == ("", "", "", PATH)
    encoded = parse_address(f"{PATH}?token=a%2Bb+c&token=other")
    assert encoded is not None
    assert encoded.token == "a+b c", "the first one counts"


@pytest.mark.parametrize(
    "uri",
    [
        "/",
        f"/desktop/1a2b3c4d/{ID}",
        f"//desktop/1a2b3c4d/{ID}/",
        f"/desktop/1A2B3C4D/{ID}/",
        f"/desktop/1a2b3c4d/{ID}x/",
        f"/desktop/../1a2b3c4d/{ID}/",
        f"/%64esktop/1a2b3c4d/{ID}/",
        f"https://127.0.0.1{PATH}",
    ],
)
def test_anything_else_is_no_stream(uri: str):
    assert parse_address(uri) is None


words = st.text("abcXYZ019-_%./", min_size=1, max_size=8)
pairs = st.lists(st.tuples(words.filter(lambda w: w != "token"), words), max_size=4)


@for_all(
    rest=words,
    before=pairs,
    after=pairs,
    token=st.text("abc-_", min_size=1),
    subject=parse_address,
    mutants=[lambda uri: parse_address(uri.rpartition("&")[0] or uri)],
)
def test_the_token_is_taken_out_and_everything_else_stays(
    subject: Any, rest: str, before: list[tuple[str, str]], after: list[tuple[str, str]], token: str
):
    def query(parts: list[tuple[str, str]]) -> str:
        return "&".join(f"{name}={value}" for name, value in parts)

    address = subject(f"{PATH}{rest}?{query([*before, ('token', token), *after])}")
    assert address is not None
    assert address.token == token
    left = query([*before, *after])
    assert address.without_token == f"{PATH}{rest}{'?' if left else ''}{left}"


FACTS = StreamFacts(
    status=SessionStatus.RUNNING,
    user_id="u",
    username="Ann@x",
    user_enabled=True,
    may_use_image=True,
    sent_username="",
    token_is_valid=True,
)


def test_the_user_with_the_token_may_see_their_running_session():
    assert refusal_by_api(FACTS) is None
    assert refusal_by_api(replace(FACTS, sent_username="ann@X")) is None


@pytest.mark.parametrize("status", [s for s in SessionStatus if s not in ("running", "unreachable", "lost")])
def test_a_session_that_is_not_running_is_refused(status: SessionStatus):
    assert refusal_by_api(replace(FACTS, status=status)) is not None


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (replace(FACTS, user_id=None), "This session has no user: it was not handed over."),
        (replace(FACTS, token_is_valid=False), "The token does not open this session; it may have been revoked."),
        (replace(FACTS, sent_username="bob@x"), "The session belongs to another user."),
        (replace(FACTS, username=None, sent_username="bob@x"), "The session belongs to another user."),
        (replace(FACTS, user_enabled=False), "The user is disabled or locked."),
        (
            replace(FACTS, lacks_user=True),
            "The user does not have the permission `user`, which a session token needs here.",
        ),
        (
            replace(FACTS, status=SessionStatus.ASSIGNING),
            "The session is being handed over; try again in a moment.",
        ),
        (replace(FACTS, status=SessionStatus.PAUSED), "The session is paused."),
        (replace(FACTS, status=SessionStatus.STARTING, is_program=True), "The session is starting."),
    ],
)
def test_every_other_reason_is_a_sentence(facts: StreamFacts, reason: str):
    assert refusal_by_api(facts) == reason


def test_a_program_may_come_before_the_end_of_the_hand_over():
    assert refusal_by_api(replace(FACTS, status=SessionStatus.ASSIGNING, is_program=True)) is None


@for_all(
    valid=st.booleans(),
    status=st.sampled_from(SessionStatus),
    user=st.sampled_from([None, "u"]),
    subject=refusal_by_api,
    mutants=[
        lambda facts: refusal_by_api(replace(facts, token_is_valid=True)),
        lambda facts: refusal_by_api(facts) and f"It is {facts.status}.",
    ],
)
def test_without_a_valid_token_or_a_user_nothing_opens(
    subject: Any, valid: bool, status: SessionStatus, user: str | None
):
    refused = subject(replace(FACTS, token_is_valid=valid, status=status, user_id=user)) is not None
    assert refused or (valid and user is not None)
    if not valid and user:
        # neither does a wrong token reveal the state of the session
        assert subject(replace(FACTS, token_is_valid=False, status=status)) == subject(
            replace(FACTS, token_is_valid=False)
        )


of_user = {"user_id": st.sampled_from(["a", "b"]), "epoch": st.integers(1, 4)}
access = st.sampled_from(["view", "control"])
guest = st.sampled_from(["g", "h"])


@for_all(
    grant=st.builds(Grant, **of_user),
    permitted=st.one_of(st.none(), st.builds(PermittedViewers, **of_user)),
    subject=still_holds,
    mutants=[
        lambda grant, permitted: permitted is not None and grant.user_id == permitted.user_id,
        lambda grant, permitted: permitted is not None and grant.epoch >= permitted.epoch,
    ],
)
def test_a_grant_holds_for_its_user_until_the_epoch_grows(
    subject: Any, grant: Grant, permitted: PermittedViewers | None
):
    holds = subject(grant, permitted)
    assert holds == (permitted is not None and grant.user_id == permitted.user_id and not permitted.epoch > grant.epoch)
    if permitted is not None and holds:
        assert not subject(grant, replace(permitted, epoch=grant.epoch + 1))


@for_all(
    grant=st.builds(Grant, **of_user, database=st.sampled_from(["one", "two"])),
    permitted=st.builds(PermittedViewers, **of_user, database=st.sampled_from(["one", "two"])),
    subject=still_holds,
    mutants=[lambda grant, permitted: still_holds(replace(grant, database=permitted.database), permitted)],
)
def test_of_another_database_only_the_same_epoch_counts(subject: Any, grant: Grant, permitted: PermittedViewers):
    is_same = grant.user_id == permitted.user_id and grant.epoch == permitted.epoch
    holds = subject(grant, permitted)
    assert holds == is_same or (holds and grant.database == permitted.database)


@for_all(
    grant=st.builds(Grant, user_id=st.just("a"), epoch=st.just(1), viewer_id=guest, access=access),
    guests=st.dictionaries(guest, access),
    subject=still_holds,
    mutants=[lambda grant, permitted: still_holds(replace(grant, viewer_id=""), permitted)],
)
def test_a_guest_is_in_with_exactly_the_access_they_were_given(subject: Any, grant: Grant, guests: dict[str, Access]):
    permitted = PermittedViewers(user_id="a", epoch=1, guests=guests)
    assert subject(grant, permitted) == (guests.get(grant.viewer_id) == grant.access)
    assert subject(Grant(user_id="a", epoch=1), permitted), "the session's user stays in any case"
    assert not subject(grant, replace(permitted, epoch=2)), "and who was let in by them leaves with them"


WHOLE = SessionFacts(permitted={"allow_kasm_uploads": True, "allow_kasm_downloads": True})


def refusal(
    access: AnyAccess, method: str, rest: str, *, is_page: bool = True, facts: SessionFacts = WHOLE
) -> str | None:
    return refusal_of_request(access, act_of_request(access, method, rest, is_page=is_page), facts)


def test_who_watches_only_reads():
    for method in ("GET", "HEAD"):
        assert refusal("view", method, "a") is None
    assert refusal("control", "PUT", "a", is_page=False) is None
    assert refusal("view", "PUT", "a") == "You may only watch this session."
    assert refusal("view", "GET", "a", is_page=False) == "You may only watch this session."


spelled = {
    "folder": st.sampled_from(sorted(PROGRAM_FOLDERS)),
    "before": st.sampled_from(["", "/", "//", "%2f", "%2F/"]),
    "after": st.sampled_from(["", "/", "/a", "%2fa", "//a", "/a?b"]),
}


@for_all(
    access=st.sampled_from(["view", "control"]),
    **spelled,
    subject=refusal,
    mutants=[lambda *request, **_: refusal(*request, is_page=False)],
)
def test_only_programs_reach_their_folders(subject: Any, access: AnyAccess, folder: str, before: str, after: str):
    rest = f"{before}{folder}{after}"
    assert subject(access, "GET", rest) == PROGRAMS_ONLY
    assert subject(access, "GET", f"%{ord(folder[0]):x}{rest[1:]}") == PROGRAMS_ONLY or before
    assert subject("control", "GET", f"{folder}er{after}") is None
    assert subject("control", "GET", rest, is_page=False) is None, "a service beside the page"


@for_all(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
    **spelled,
    subject=refusal,
    mutants=[lambda *request: refusal(*request, is_page=False)],
)
def test_only_the_api_reaches_the_desk_and_only_programs_reach_the_browser(
    subject: Any, method: str, folder: str, before: str, after: str
):
    rest = f"{before}{folder}{after}"
    assert (subject("api", method, rest) is None) == (folder == "desk")
    assert subject("program", method, rest) == (API_ONLY if folder == "desk" else None)
    assert subject("api", method, f"{folder}er{after}") is not None, "nor does it open anything else"


@pytest.mark.parametrize("missing", ["allow_kasm_uploads", "allow_kasm_downloads"])
@pytest.mark.parametrize("folder", ["cdp", "webdriver"])
def test_a_browser_is_driven_only_where_files_may_go_both_ways(folder: str, missing: str):
    facts = SessionFacts(permitted={**WHOLE.permitted, missing: False})
    assert refusal("program", "GET", folder, facts=facts) == f"This is not allowed in a session without {missing}."
    assert refusal("program", "GET", "websockify", facts=facts) is None


@pytest.mark.parametrize("rest", ["cdp", "webdriver/status", "websockify"])
def test_nothing_goes_past_a_recording_that_is_required(rest: str):
    facts = replace(WHOLE, must_record=True)
    assert refusal("program", "GET", rest, facts=facts) == REQUIRES_RECORDING
    assert refusal("api", "POST", "desk/steps", facts=facts) is None
    assert refusal("control", "GET", "websockify", facts=facts) is None


TOKEN = f"{ID}.{'aB-_9' * 8}xyz"


def test_the_token_of_a_lease_stands_behind_the_session_and_is_not_passed_on():
    address = parse_address(f"{PATH}lease/{TOKEN}/cdp/json/version?x=1")
    assert address is not None
    assert (address.prefix, address.lease) == (PATH, TOKEN)
    assert (address.rest, address.query, address.token) == ("cdp/json/version", "x=1", "")
    for other in (f"lease/{TOKEN}", f"lease/{TOKEN}x/", f"a/lease/{TOKEN}/", "lease/x/", f"%6cease/{TOKEN}/"):
        plain = parse_address(PATH + other)
        assert plain is not None
        assert (plain.lease, plain.rest) == ("", other)


@for_all(
    st.from_regex(rf"\A{LEASE_TOKEN}\Z"),
    subject=lease_token_in,
    mutants=[lambda header: header.partition(" ")[2].strip()],
)
def test_the_token_of_a_lease_comes_as_a_bearer(subject: Any, token: str):
    assert subject(f"Bearer {token}") == subject(f"bearer  {token} ") == token
    for other in (token, f"Basic {token}", f"Bearer {token}x", f"Bearer x{token}", "Bearer", ""):
        assert subject(other) == ""


@for_all(
    st.integers(1, 4),
    st.integers(1, 4),
    st.none() | st.integers(1, 4),
    st.sampled_from(["control", "program"]),
    subject=still_holds,
    mutants=[lambda grant, permitted: still_holds(grant, replace(permitted, program_epoch=None))],
)
def test_a_program_is_permitted_by_the_epoch_of_its_lease(
    subject: Any, granted: int, epoch: int, program_epoch: int | None, access: AnyAccess
):
    permitted = PermittedViewers(user_id="u", epoch=epoch, program_epoch=program_epoch)
    counts = program_epoch if access == "program" and program_epoch is not None else epoch
    assert subject(Grant(user_id="u", epoch=granted, access=access), permitted) == (granted >= counts)


def test_the_agent_shows_no_session_without_a_user_or_before_hand_over():
    permitted = PermittedViewers(user_id="u", epoch=1)
    assert refusal_by_agent(session_id="s", permitted=None, handed_over=True, address="a:1") == (
        "Session s was not handed to a user."
    )
    assert refusal_by_agent(session_id="s", permitted=permitted, handed_over=False, address="a:1") == (
        "The session is being handed over, or its recording has not begun; try again in a moment."
    )
    assert refusal_by_agent(session_id="s", permitted=permitted, handed_over=True, address=None) == (
        "The desktop is not running."
    )
    assert refusal_by_agent(session_id="s", permitted=permitted, handed_over=True, address="a:1") is None


@for_all(st.text(), subject=printable, mutants=[lambda sentence: sentence[:300]])
def test_a_reason_can_stand_in_a_header_in_json_and_in_a_page(subject: Any, text: str):
    made = subject(text)
    assert all(" " <= c <= "~" for c in made)
    assert not set('"\\<>&') & set(made)
    assert len(made) <= 300


def test_what_cannot_stand_there_is_spelled_otherwise():
    assert printable('Zoë\'s "<b>" \\ R&D\x7f\n') == "Zo?'s '(b)' / R+D"
    assert printable("x" * 301) == "x" * 300


MORE = "up to 2 MB may be uploaded into this session at a time. Ask an administrator for more."


@pytest.mark.parametrize(
    ("max_mb", "method", "length_bytes", "reason"),
    [
        (2, "PUT", 2_000_000, None),
        (2, "PUT", 2_000_001, f"The file is too large: {MORE}"),
        (2, "GET", 2_000_001, f"The file is too large: {MORE}"),
        (2, "POST", None, f"The upload has no Content-Length: {MORE}"),
        (2, "MOVE", None, f"The upload has no Content-Length: {MORE}"),
        (2, "POST", 0, None),
        *((2, method, None, None) for method in ("GET", "HEAD", "OPTIONS", "DELETE")),
        (0, "PUT", 2_000_001, None),
        (0, "PUT", None, None),
    ],
)
def test_what_a_request_brings_into_a_session_is_limited(
    max_mb: int, method: str, length_bytes: int | None, reason: str | None
):
    assert refusal_of_upload(method=method, length_bytes=length_bytes, max_mb=max_mb) == reason
