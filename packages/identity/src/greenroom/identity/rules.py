"""Rules that turn the claims of a provider into fields and groups of a user. All functions are pure.

A log-in and the preview for administrators call the same functions.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from greenroom.core.access.accounts import username_problem
from greenroom.core.errors import Invalid
from greenroom.core.text import normal_line, normal_name
from greenroom.identity.statements import GroupRule

Claims = Mapping[str, Any]

DEFAULT_ATTRIBUTES: Final = {
    "username": "preferred_username",
    "first_name": "given_name",
    "last_name": "family_name",
}
"""Field of a user → the claim that contains its value, if the provider has no attribute for the field."""
ATTRIBUTES: Final = ("username", "first_name", "last_name", "phone", "organization")
MAX_VALUES: Final = 10_000
"""Maximum number of values of a claim that rules use. A user at a large provider can be in thousands of groups."""
MAX_STARS: Final = 3
"""Maximum number of `*` in the value of a rule."""
MAX_FIELD_CHARACTERS: Final = 255
"""Maximum number of characters in a field; a longer text is omitted."""


def values_of_claim(claims: Claims, name: str) -> list[str]:
    """Return the values of a claim as texts; an empty list if the claim is missing.

    `name` is the name of the claim, or a path in nested objects, such as `realm_access.roles`.
    """
    claim = _claim(claims, name)
    values = cast("list[Any]", claim if isinstance(claim, list) else [claim])
    return [_value_text(value) for value in values if isinstance(value, (str, bool, int))]


def _claim(claims: Claims, name: str) -> Any:
    """Return a claim; None if it is missing."""
    claim: Any = claims.get(name)
    if claim is None:
        claim = claims
        for part in name.split("."):
            claim = cast("Claims", claim).get(part) if isinstance(claim, Mapping) else None
    return claim


def _value_text(value: str | bool | int) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def matching_rules(rules: Sequence[GroupRule], claims: Claims) -> list[int]:
    """Return the positions of the rules that match: a value of the rule's claim equals the rule's value, in which `*`
    stands for any characters. Call this function in a thread: hundreds of rules and thousands of values can take
    seconds.

    Raises:
        Invalid: the claim of a rule has more than `MAX_VALUES` values.
    """
    values = {name: _limited_values(claims, name) for name in {rule.claim for rule in rules}}
    return [position for position, rule in enumerate(rules) if _matches(rule.value, values[rule.claim])]


def _limited_values(claims: Claims, name: str) -> frozenset[str]:
    values = values_of_claim(claims, name)
    if len(values) > MAX_VALUES:
        raise Invalid(f"The claim {name} has {len(values)} values; the maximum is {MAX_VALUES}.")
    return frozenset(values)


def _matches(pattern: str, values: frozenset[str]) -> bool:
    parts = pattern.split("*")
    return pattern in values if len(parts) == 1 else any(_matches_parts(value, parts) for value in values)


def _matches_parts(value: str, parts: list[str]) -> bool:
    """Return whether the value consists of these parts with any characters between them, in linear time. A regular
    expression with several `.*` can take longer."""
    first, *inner, last = parts
    position, end = len(first), len(value) - len(last)
    if position > end or not value.startswith(first) or not value.endswith(last):
        return False
    for part in inner:
        position = value.find(part, position, end)
        if position < 0:
            return False
        position += len(part)
    return True


@dataclass(frozen=True, slots=True)
class RuleResult:
    """The result of the rules for one user, as ids of groups: `managed` are the groups whose rules have all their
    claims, and `matched` are the groups with a matching rule, of which the user becomes a member.

    `unknown` are sentences about claims that do not say in which groups the user is. The user stays in the groups of
    their rules, because a provider that sends nothing does not say that there is nothing."""

    matched: frozenset[str]
    managed: frozenset[str]
    unknown: tuple[str, ...] = ()

    def groups_after(self, group_ids: frozenset[str]) -> frozenset[str]:
        """Return the groups of a user who was in `group_ids`. Groups without a rule do not change."""
        return (group_ids - self.managed) | self.matched


def evaluate_rules(rules: Sequence[GroupRule], claims: Claims) -> RuleResult:
    """Return the groups that the rules determine for these claims. Raises Invalid: as for `matching_rules`."""
    matching = matching_rules(rules, claims)
    matched = frozenset(rules[position].group_id for position in matching)
    matched_claims = {rules[position].claim for position in matching}
    names = sorted({rule.claim for rule in rules} - matched_claims)
    unknown = {name: problem for name in names if (problem := _problem_of_claim(rules, claims, name))}
    kept = {rule.group_id for rule in rules if rule.claim in unknown} - matched
    return RuleResult(matched, frozenset(rule.group_id for rule in rules) - kept, tuple(unknown.values()))


def _problem_of_claim(rules: Sequence[GroupRule], claims: Claims, name: str) -> str | None:
    """Return the reason why a claim without a matching rule does not say in which groups a user is; None if it says
    it."""
    claim = _claim(claims, name)
    if claim is None or isinstance(claim, Mapping):
        elsewhere = claims.get("_claim_names")
        if isinstance(elsewhere, Mapping) and name in elsewhere:
            return (
                f"The claim {name} is missing, because the user is in too many groups for a token. Microsoft Entra ID"
                " sends all of them with the option `groups assigned to the application`."
            )
        return f"The claim {name} is missing. Check the scopes and the claims of the client at the provider."
    if not isinstance(claim, str):
        return None
    parts = frozenset(re.split(r"[\s,;]+", claim)) - {claim, ""}
    if any(rule.claim == name and _matches(rule.value, parts) for rule in rules):
        return f"The claim {name} is one text with several values. Let the provider send a list."
    return None


@dataclass(frozen=True, slots=True)
class Profile:
    """The fields of a user that the claims determine. `problem` is the reason why `username` cannot be used, as a
    sentence; None = it can be used. `fields` contains only fields with a value."""

    username: str
    problem: str | None
    fields: dict[str, str]


def user_profile(attributes: Mapping[str, str], claims: Claims) -> Profile:
    """Return the fields of the user with these claims. Text that cannot be stored is omitted."""
    claim_names = DEFAULT_ATTRIBUTES | dict(attributes)
    username, problem = _username(claims, claim_names.pop("username"))
    texts = {field: _claim_text(claims, claim_names[field]) for field in ATTRIBUTES if field in claim_names}
    fields = {field: text for field, text in texts.items() if 0 < len(text) <= MAX_FIELD_CHARACTERS}
    return Profile(username, problem, fields)


def _username(claims: Claims, claim: str) -> tuple[str, str | None]:
    """Return the user name in a claim, and the reason why the name cannot be used, as a sentence."""
    sent = "".join(values_of_claim(claims, claim)[:1])
    if not sent.strip():
        return "", f"The claim {claim} contains no username."
    try:
        username = normal_name(sent)
    except ValueError as error:
        return "", f"The username in the claim {claim} {error}."
    return username, username_problem(username)


def _claim_text(claims: Claims, claim: str) -> str:
    values = values_of_claim(claims, claim)
    try:
        return normal_line(values[0]) if values else ""
    except ValueError:
        return ""


def sample_claims(text: str) -> dict[str, Any]:
    """Return the claims of a sample: a JSON object, or a token whose signature is not checked. Raises Invalid: the text
    is neither."""
    sample = text.strip()
    parts = sample.split(".")
    try:
        if not sample.startswith("{") and len(parts) == 3:
            sample = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)).decode()
        claims = json.loads(sample)
    except (binascii.Error, ValueError, RecursionError) as error:
        raise Invalid("The sample is neither a JSON object nor a token (three parts with dots between).") from error
    if not isinstance(claims, dict):
        raise Invalid("The sample must be a JSON object with claims, such as the payload of an ID token.")
    return cast("dict[str, Any]", claims)
