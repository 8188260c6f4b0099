"""Verbs of users, groups and web filter policies."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from greenroom.cli.fields import FieldOption, argument
from greenroom.cli.names import find_id
from greenroom.cli.nouns import NOUNS
from greenroom.cli.output import Column, columns
from greenroom.cli.verbs import Call, body_options, verb

Login = Annotated[
    str | None, typer.Option("--login", help="Id of one log-in; without it, all log-ins end.", show_default=False)
]

_SETTINGS: Final = columns(Column("Setting", "name"), "value unit default excludes_staging trace")
_LOGINS: Final = columns("login_id client_ip user_agent", Column("Since", "created"), "last_used expires")


@verb("users")
def logins(call: Call) -> None:
    """Show the log-ins of a user at the console."""
    call.output.rows(call.client.get(f"{call.path}/logins"), _LOGINS, "The user is not logged in.")


@verb("users")
def logout(call: Call, *, login: Login = None) -> None:
    """End the log-ins and streams of a user. Their sessions continue."""
    path = f"{call.path}/logins"
    call.client.delete(f"{path}/{login}" if login else path)
    call.output.done(f"The user {call.target} is logged out.", {"logged_out": True})


@verb("users")
def attributes(call: Call) -> None:
    """Show the preferences and the public SSH key of a user."""
    call.one(call.client.get(f"{call.path}/attributes"))


@verb("users", options=body_options("greenroom.api.access.schemas:AttributesPatch"))
def set_attributes(call: Call) -> None:
    """Change the preferences and SSH keys of a user. Omitted options change nothing."""
    call.change("/attributes")


@verb("users")
def ssh_key(call: Call) -> None:
    """Replace the SSH keys of a user with a new pair, and show the public key."""
    call.one(call.client.post(f"{call.path}/ssh-key", {}))


@verb("users")
def settings(call: Call) -> None:
    """Show the effective group settings of a user, with the origin of each value."""
    call.output.rows(call.client.get(f"{call.path}/settings"), _SETTINGS, "There are no settings.")


_MEMBERS: Final = {
    ("add", "user"): "Add a user to a group.",
    ("remove", "user"): "Remove a user from a group.",
    ("add", "image"): "Allow the members of a group to use a workspace.",
    ("remove", "image"): "Remove a workspace from a group.",
}


def _add(word: str, part: str, text: str) -> None:
    noun = NOUNS[f"{part}s"]
    member = argument("member", part.upper(), f"The {noun.singular}, by name or id.")

    def change(call: Call) -> None:
        group = call.path
        path = f"{group}/{noun.noun}/{call.body()['member']}"
        if word == "add":
            call.client.put(path)
        else:
            call.client.delete(path)
        call.one(call.client.get(group))

    change.__doc__ = text
    option = FieldOption("member", member, lambda value, client: find_id(client, noun, value))
    verb("groups", f"{word}-{part}", options=lambda: [option])(change)


for (_word, _part), _text in _MEMBERS.items():
    _add(_word, _part, _text)


@verb("filter-policies")
def explain(
    call: Call,
    *,
    host: Annotated[str, typer.Option(metavar="HOST", help="A host name or IP address.")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the host.")] = 443,
) -> None:
    """Show whether a policy allows a host, and the reason. No connection is opened."""
    response = call.client.get(f"{call.path}/decision", {"host": host, "port": port})
    if call.output.print_if_json(response):
        return
    call.output.line(f"{response['action']}: {response['reason']}")
