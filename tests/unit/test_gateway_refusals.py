"""The German reasons on pages of the gateway about refused streams."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.unit.test_gateway_plan import EDGE, PLAN, text

from greenroom.core.session.authorization import NOT_ALLOWED
from greenroom.core.session.states import SessionStatus
from greenroom.core.session.streams import (
    API_ONLY,
    PROGRAMS_ONLY,
    WATCHES_ONLY,
    PermittedViewers,
    StreamFacts,
    printable,
    refusal_by_agent,
    refusal_by_api,
)

SESSION_ID = "0e2dfa45-1e45-46a9-b953-94941d5870ca"
FACTS = StreamFacts(
    status=SessionStatus.RUNNING,
    user_id="u",
    username="ann",
    user_enabled=True,
    may_use_image=True,
    sent_username="ann",
    token_is_valid=True,
)
MAP = re.compile(r"\$gr_reason_de \{(.*?)\n *\}", re.DOTALL)
ENTRY = re.compile(r'^ *"(.+)" "(.+)";$', re.MULTILINE)


def reasons() -> Iterator[str]:
    yield from (WATCHES_ONLY, PROGRAMS_ONLY, API_ONLY, NOT_ALLOWED)
    refused = (
        replace(FACTS, user_id=None),
        replace(FACTS, token_is_valid=False),
        replace(FACTS, sent_username="ben"),
        replace(FACTS, user_enabled=False),
        replace(FACTS, lacks_user=True),
        replace(FACTS, may_use_image=False),
        *(replace(FACTS, status=status) for status in SessionStatus),
    )
    viewers = PermittedViewers(user_id="u", epoch=1)
    found = [refusal_by_api(facts) for facts in refused]
    for permitted, handed_over in ((None, True), (viewers, False), (viewers, True)):
        found.append(
            refusal_by_agent(session_id=SESSION_ID, permitted=permitted, handed_over=handed_over, address=None)
        )
    yield from (reason for reason in found if reason)


@pytest.mark.parametrize("plan", [PLAN, EDGE], ids=["web", "edge"])
@pytest.mark.parametrize("reason", sorted(set(map(printable, reasons()))))
def test_each_reason_of_a_refused_stream_has_a_german_text(plan: dict[str, object], reason: str):
    found = MAP.search(text(plan))
    assert found is not None
    patterns = [key[1:] if key.startswith("~") else re.escape(key) + "$" for key, _ in ENTRY.findall(found[1])]
    assert any(re.match(pattern, reason) for pattern in patterns)
