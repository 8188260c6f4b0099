"""The reasons why a sign-on is refused, each with the sentence that the user reads.

The log row of a refusal contains the true cause. The user does not see the cause, because it can contain details of the
provider.
"""

from __future__ import annotations

from enum import StrEnum


class Refusal(StrEnum):
    """A reason for a refusal. `sentence` is the text for the user."""

    sentence: str

    def __new__(cls, code: str, sentence: str) -> Refusal:
        member = str.__new__(cls, code)
        member._value_ = code
        member.sentence = sentence
        return member

    PROVIDER_DOWN = (
        "provider-down",
        "The provider does not answer as it should. Try again later, or log in with a local account.",
    )
    PROVIDER_DISABLED = "provider-disabled", "This provider is no longer offered. Choose another way to log in."
    PROVIDER_REFUSED = (
        "provider-refused",
        "The provider did not confirm your log-in. Try again, or ask an administrator.",
    )
    UNKNOWN_ATTEMPT = (
        "unknown-attempt",
        "This log-in has expired, or began in another browser. Start the log-in again.",
    )
    WRONG_TOKEN = (
        "wrong-token",
        "The answer of the provider is not valid. Start the log-in again, or ask an administrator.",
    )
    NO_USER = "no-user", "No account is linked to your identity at this provider. Ask an administrator for access."
    USERNAME_TAKEN = (
        "username-taken",
        "An account has your username already. Log in to it and link your identity on the page My account.",
    )
    USERNAME_UNUSABLE = (
        "username-unusable",
        "The provider sent no username that Greenroom can use. Ask an administrator.",
    )
    NO_GROUP = "no-group", "You are in none of the groups that may log in here. Ask an administrator for access."
    NO_CLAIM = "no-claim", "The provider did not send in which groups you are. Ask an administrator."
    USER_DISABLED = "user-disabled", "This account is disabled; ask an administrator."
    DIRECTORY_ACCOUNT = (
        "directory-account",
        "The directory does not permit your log-in, for example because your password has expired.",
    )
    BREAK_GLASS = "break-glass", "This account logs in only with its password."
    LAST_ADMINISTRATOR = (
        "last-administrator",
        "The rules of this provider would remove the last administrator. Log in with a local account and correct them.",
    )
    LINKED_ELSEWHERE = "linked-elsewhere", "This identity is already linked to an account."
    LINK_ENDED = "link-ended", "Your log-in ended before the identity was linked. Log in, and link the identity again."


class SignOnRefused(Exception):  # noqa: N818 -- as the errors of greenroom.core.errors
    """A sign-on is refused. `cause` is the true cause, for the log."""

    def __init__(self, refusal: Refusal, cause: str) -> None:
        super().__init__(cause)
        self.refusal = refusal
        self.cause = cause
