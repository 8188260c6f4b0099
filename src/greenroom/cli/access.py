"""Verbs of users and groups: log-ins, attributes, the settings that hold for a user, members and workspaces of a
group."""

from __future__ import annotations

import inspect
from typing import Annotated, Any, Final

import typer

from greenroom.api.access.schemas import AttributesPatch
from greenroom.cli.fields import body_of, options_of
from greenroom.cli.names import find_id
from greenroom.cli.nouns import NOUNS
from greenroom.cli.output import Column
from greenroom.cli.verbs import Call, add_change, address, command, identity

Login = Annotated[str | None, typer.Option("--login", help="Only this one, by its id.", show_default=False)]

_NOUN: Final = NOUNS["users"]
_COLUMNS: Final = (
    Column("Setting", "name"),
    Column("Value", "value"),
    Column("Unit", "unit"),
    Column("Default", "default"),
    Column("Excludes staging", "excludes_staging"),
    Column("Where from", "trace"),
)


_LOGINS: Final = (
    Column("Log-in ID", "login_id"),
    Column("From", "client_ip"),
    Column("Browser", "user_agent"),
    Column("Since", "created"),
    Column("Last Used", "last_used"),
    Column("Expires", "expires"),
)
_ATTRIBUTES: Final = options_of(AttributesPatch)


def register_users(app: typer.Typer) -> None:
    """Add the verbs."""
    add_change(app, "enable", "users", {"disabled": False}, "Let a user log in again.")
    add_change(app, "disable", "users", {"disabled": True}, "Keep a user out: their log-ins, streams and API keys end.")
    add_change(app, "lock", "users", {"locked": True}, "Keep a user out for now: their log-ins and streams end.")
    add_change(app, "unlock", "users", {"locked": False}, "End the locking of a user.")
    app.command("logins")(command(logins, [identity(_NOUN)]))
    app.command("logout")(command(logout, [identity(_NOUN)]))
    app.command("attributes")(command(attributes, [identity(_NOUN)]))
    options = [option.parameter for option in _ATTRIBUTES]
    app.command("set-attributes")(command(set_attributes, [identity(_NOUN), *options]))
    app.command("ssh-key")(command(ssh_key, [identity(_NOUN)]))
    app.command("settings")(command(settings, [identity(_NOUN)]))


def logins(call: Call, **given: Any) -> None:
    """Show where a user is logged in at the console."""
    found = call.client.get(f"{address(call, _NOUN, given['given_id'])}/logins")
    call.output.rows(found, _LOGINS, "The user is logged in nowhere.")


def logout(call: Call, *, login: Login = None, **given: Any) -> None:
    """End a user's log-ins and cut their streams; their sessions go on."""
    path = f"{address(call, _NOUN, given['given_id'])}/logins"
    call.client.delete(f"{path}/{login}" if login else path)
    call.output.done(f"The user {given['given_id']} is logged out.", {"logged_out": True})


def attributes(call: Call, **given: Any) -> None:
    """Show what a user prefers, and their public SSH key."""
    call.one(call.client.get(f"{address(call, _NOUN, given['given_id'])}/attributes"))


def set_attributes(call: Call, **given: Any) -> None:
    """Change what a user prefers and their SSH keys; what is not given stays as it is."""
    path = f"{address(call, _NOUN, given.pop('given_id'))}/attributes"
    body = body_of(_ATTRIBUTES, given, call.client)
    if not body:
        raise typer.BadParameter("There is nothing to change; give at least one option.")
    call.one(call.client.patch(path, body))


def ssh_key(call: Call, **given: Any) -> None:
    """Make a new pair of SSH keys for a user in place of the present one; shows the public one."""
    call.one(call.client.post(f"{address(call, _NOUN, given['given_id'])}/ssh-key", {}))


def settings(call: Call, **given: Any) -> None:
    """Show the group settings as they hold for a user, and where each comes from."""
    found = call.client.get(f"{address(call, _NOUN, given['given_id'])}/settings")
    call.output.rows(found, _COLUMNS, "There are no settings.")


_TEXTS: Final = {
    ("add", "user"): "Make a user a member of a group.",
    ("remove", "user"): "End a user's membership of a group.",
    ("add", "image"): "Let the members of a group use a workspace.",
    ("remove", "image"): "Let the members of a group no longer use a workspace through it.",
}


def register_groups(app: typer.Typer) -> None:
    """Add the verbs."""
    for (verb, part), text in _TEXTS.items():
        _add(app, verb, part, text)


def _add(app: typer.Typer, verb: str, part: str, text: str) -> None:
    noun = NOUNS[f"{part}s"]

    def change(call: Call, **given: Any) -> None:
        group = address(call, NOUNS["groups"], given["given_id"])
        path = f"{group}/{noun.noun}/{find_id(call.client, noun, given['member'])}"
        if verb == "add":
            call.client.put(path)
        else:
            call.client.delete(path)
        call.one(call.client.get(group))

    change.__doc__ = text
    member = inspect.Parameter(
        "member",
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[
            str, typer.Argument(metavar=part.upper(), help=f"The {noun.what}, by name or id.", show_default=False)
        ],
    )
    app.command(f"{verb}-{part}")(command(change, [identity(NOUNS["groups"]), member]))
