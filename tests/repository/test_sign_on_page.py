"""docs/howto/sign-on-troubleshooting.md lists all steps of the tests of providers, and all reasons of refusals."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from greenroom.identity.diagnosis import OidcDiagnosis
from greenroom.identity.directory.diagnosis import DirectoryDiagnosis
from greenroom.identity.refusals import Refusal
from greenroom.identity.saml.diagnosis import SamlDiagnosis

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/howto/sign-on-troubleshooting.md").read_text()


class AnyProvider:
    """A provider whose fields are all empty."""

    def __getattr__(self, name: str) -> str:
        return ""


PROVIDER: Any = AnyProvider()
DIAGNOSES = {
    "OpenID Connect": OidcDiagnosis(PROVIDER, None, ""),
    "SAML": SamlDiagnosis(PROVIDER, PROVIDER, ""),
    "LDAP": DirectoryDiagnosis(PROVIDER, PROVIDER, ""),
}


@pytest.mark.parametrize("kind", DIAGNOSES)
def test_each_step_has_its_cause_and_its_remedy_in_one_sentence(kind: str):
    section = PAGE.partition("## Steps of the test")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| [^|]* \| ([^|]+) \| ([^|;]+; [^|]+\.) \|$", section, re.MULTILINE)
    assert {step for step, kinds, _ in rows if kinds == "all" or kind in kinds} == set(DIAGNOSES[kind].steps)


def test_the_titles_of_the_steps_are_those_of_the_console():
    console = (ROOT / "web/src/pages/admin/signon/steps.ts").read_text().partition("};")[0]
    titles = re.findall(r"^  (\w+): t`(.+)`,$", console, re.MULTILINE)
    assert sorted(re.findall(r"^\| `(\w+)` \| ([^|]+) \| [^|]+ \| ", PAGE, re.MULTILINE)) == sorted(titles)


def test_each_reason_of_a_refusal_has_a_row():
    section = PAGE.partition("## Refused log-ins")[2]
    assert re.findall(r"^\| `([\w-]+)` \|", section, re.MULTILINE) == [str(refusal) for refusal in Refusal]
