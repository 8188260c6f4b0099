"""Commands for users, groups, roles, sign-on, web filter policies, settings and webhooks, such as `greenroom users
logout`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

import typer

from greenroom.cli.client import ApiError
from greenroom.cli.noun import API, Field
from greenroom.cli.nouns import NOUNS
from greenroom.cli.options import FieldOption, argument, options_for
from greenroom.cli.output import Column, Row, columns, printable
from greenroom.cli.values import parse_assignments
from greenroom.cli.verbs import Call, Limit, field_options, verb
from greenroom.core.installation import INSTALLATION_SETTINGS

Login = Annotated[str | None, typer.Option("--login", help="Id of one log-in; without it, all log-ins end.")]


@verb("users")
def logout(call: Call, *, login: Login = None) -> None:
    """End the log-ins and streams of a user. Their sessions continue."""
    path = f"{call.path}/logins"
    call.client.delete(f"{path}/{login}" if login else path)
    call.output.print_result(f"The user {call.target} is logged out.", {"logged_out": True})


def _add_membership_verb(prefix: str, method: str, member_kind: str, result: str) -> None:
    """Add a verb that changes the members of a group. `result` is the verb of the sentence that it prints."""
    noun = NOUNS[f"{member_kind}s"]
    parameter = argument("member", member_kind.upper(), f"The {noun.singular}, by name or id.")

    def change(call: Call) -> None:
        group = call.path
        call.client.request(method, f"{group}/{noun.noun}/{call.body()['member']}")
        if call.output.as_json:
            call.print_object(call.client.get(group))
        else:
            call.output.print_line(f"The {noun.singular} {call.fields['member']} {result} the group {call.target}.")

    change.__doc__ = API[f"{method} /groups/{{group_id}}/{noun.noun}/{{{noun.id_field}}}"].text
    option = FieldOption("member", parameter, lambda value, client: noun.find_id(client, value))
    verb("groups", f"{prefix}-{member_kind}", options=lambda: [option])(change)


for _member_kind in ("user", "image"):
    _add_membership_verb("add", "PUT", _member_kind, "is in")
    _add_membership_verb("remove", "DELETE", _member_kind, "is not in")


@verb("roles", "list", takes_object=False)
def roles_list(call: Call) -> None:
    """List the roles with their permissions, and the kind of places to which each can be restricted."""
    call.print_list("/roles", _ROLE_COLUMNS, "There are no roles.", fold=True)


_ROLE_COLUMNS: Final = columns("name title scope", Column("Permissions", "codes"))
_ROLE: Final = FieldOption(
    "role", argument("role", "ROLE", "The role, by name; see greenroom roles list."), lambda value, _: value
)
_SCOPE: Final = (
    Field(name="zones", description="the role only counts in this zone", shape="list"),
    Field(name="groups", description="the role only counts for members of this group", shape="list"),
)


@verb("groups", options=lambda: [_ROLE, *options_for(_SCOPE)])
def add_role(call: Call) -> None:
    """Assign a role to the members of a group, or change its scope. Without --zone and --group, it counts
    everywhere. Change the roles of a group by one command at a time, because a command replaces all of them."""
    assignment = call.body()
    _set_roles(call, lambda roles: [*_without(roles, assignment["role"]), assignment])


@verb("groups", options=lambda: [_ROLE])
def remove_role(call: Call) -> None:
    """Remove a role from the members of a group. Change the roles of a group by one command at a time, because a
    command replaces all of them."""
    role: str = call.body()["role"]

    def remaining(roles: list[Row]) -> list[Row]:
        others = _without(roles, role)
        if len(others) == len(roles):
            raise ApiError(f"The group {call.target} does not have the role {role}.")
        return others

    _set_roles(call, remaining)


def _without(roles: list[Row], role: str) -> list[Row]:
    return [each for each in roles if each["role"] != role]


def _set_roles(call: Call, change: Callable[[list[Row]], list[Row]]) -> None:
    path = call.path
    roles = change(call.client.get(path)["roles"])
    call.print_object(call.client.patch(path, {"roles": roles}), NOUNS["groups"].nested_tables)


@verb("filter-policies", options=field_options("GET /filter-policies/{filter_policy_id}/decision"))
def explain(call: Call) -> None:
    """Show whether a policy allows a host, and the reason. No connection is opened."""
    response = call.client.get(f"{call.path}/decision", call.body())
    call.output.print_result(f"{response['action']}: {response['reason']}", response)


def _add_test_verb(noun: str) -> None:
    operation = NOUNS[noun].operation("POST", "/test")

    def test(call: Call) -> None:
        found = call.client.post(f"{call.path}/test", call.body() if API[operation].fields else None)
        if not call.output.print_if_json(found):
            for step in found["steps"]:
                result, color = ("passed", "green") if step["passed"] else ("failed", "red")
                call.output.print_line(f"{step['step']}: {result}. {step['detail']}", color)
        if not found["passed"]:
            raise typer.Exit(1)

    test.__doc__ = f"{API[operation].text} The exit code is 1 if a step fails."
    verb(noun, options=field_options(operation))(test)


for _noun in ("sign-on-providers", "directories"):
    _add_test_verb(_noun)


_SETTING_COLUMNS: Final = columns(Column("Setting", "name"), "value unit default description")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the setting.")]
Changes = Annotated[list[str], typer.Argument(metavar="NAME=VALUE…", help="New values; null restores the default.")]


@verb("settings", "list", takes_object=False)
def settings_list(call: Call) -> None:
    """List the settings with their values."""
    _show_settings(call, call.client.rows("/settings"))


@verb("settings", "get", takes_object=False)
def settings_get(call: Call, *, name: Name) -> None:
    """Show one setting."""
    matches = [setting for setting in call.client.rows("/settings") if setting["name"] == name]
    if not matches:
        raise ApiError(f"There is no setting {name}; see greenroom settings list.")
    call.print_object(matches[0])


@verb("settings", "update", takes_object=False)
def settings_update(call: Call, *, changes: Changes) -> None:
    """Change settings, and show the changed ones. Changes take effect within seconds."""
    changed = parse_assignments(changes, settings=INSTALLATION_SETTINGS)
    settings = call.client.patch("/settings", changed)
    _show_settings(call, [setting for setting in settings if setting["name"] in changed])


def _show_settings(call: Call, settings: list[Row]) -> None:
    call.output.print_list(settings, _SETTING_COLUMNS, "There are no settings.", fold=True)


OUTCOME_CHARACTERS: Final = 60
"""The maximum number of characters of a response in the list of deliveries."""


def _outcome_text(delivery: Row) -> str | None:
    if delivery["status"] is None:
        return delivery["error"] or None
    return f"{delivery['status']} {printable(delivery['answer'])[:OUTCOME_CHARACTERS]}".rstrip()


_DELIVERY_COLUMNS: Final = columns(
    "at delivery_id event state attempts",
    Column("Took", "duration_ms"),
    Column("Outcome", _outcome_text),
    "due",
)

Delivery = Annotated[str | None, typer.Argument(metavar="[DELIVERY]", help="Id of the delivery.")]
GivenUp = Annotated[bool, typer.Option("--given-up", help="All deliveries that were not successful.")]


@verb("webhooks", options=field_options("GET /webhooks/{webhook_id}/deliveries"))
def deliveries(call: Call, *, limit: Limit = 100) -> None:
    """List the deliveries of a webhook and their outcomes, newest first."""
    empty_text = "The webhook has no deliveries in the last days."
    call.print_list(f"{call.path}/deliveries", _DELIVERY_COLUMNS, empty_text, limit)


@verb("webhooks")
def replay(call: Call, *, delivery: Delivery = None, given_up: GivenUp = False) -> None:
    """Send a delivery again with the same ids, or all deliveries that were not successful."""
    if given_up == (delivery is not None):
        raise typer.BadParameter("Specify the id of one delivery, or --given-up.")
    part = "/replay" if delivery is None else f"/deliveries/{delivery}/replay"
    call.print_object(call.client.post(f"{call.path}{part}"))
