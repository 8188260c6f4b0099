"""`greenroom users import`: creates and updates users and their memberships from a CSV file.

The rows are checked together before the first request, and each row is one request: a row is applied as a whole or not
at all. The columns are the fields of a new user in the api. An empty cell changes nothing.
"""

from __future__ import annotations

import csv
import io
import threading
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Final

import typer

from greenroom.cli.client import ApiError, Client
from greenroom.cli.noun import API
from greenroom.cli.output import Column, Row, columns, printable, styled
from greenroom.cli.values import read_text
from greenroom.cli.verbs import Call, verb
from greenroom.core.access.accounts import password_problem, username_problem
from greenroom.core.errors import Busy, Forbidden, Unavailable
from greenroom.core.installation import INSTALLATION_SETTINGS
from greenroom.core.text import shortened

ALL_USERS: Final = "All Users"
SEPARATOR: Final = ";"
"""Separates the groups in a cell."""
ERROR: Final = "error"
"""The column of the reasons in a file of refused lines, which the console offers. It is ignored."""
_FIELDS: Final = {definition.name: definition for definition in API["POST /users"].fields}
_MIN_LENGTH: Final = "min_password_length"
PARALLEL: Final = 8
"""The number of requests at the same time. Most of the time of a request is that of the network and the database."""
PROGRESS_ROWS: Final = 200
"""After this number of rows, the progress is printed."""
_BOOLEANS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True, slots=True)
class UserChange:
    """The creation (`user_id` is None) or the change of a user, from a line of the file. `values` contains the fields
    to send, with the names of groups in place of their ids.
    """

    line: int
    username: str
    user_id: str | None
    values: Row = field(repr=False)

    @property
    def as_row(self) -> Row:
        """The change as a row of the output, with the names of the fields and without their values."""
        fields = [name for name in self.values if name != "username"]
        verb_text = "create" if self.user_id is None else "update"
        return {"line": self.line, "username": self.username, "action": verb_text, "fields": fields}


@dataclass(frozen=True, slots=True)
class LineError:
    """An error of a line of the file, as a sentence."""

    line: int
    message: str


@dataclass(frozen=True, slots=True)
class UsersImport:
    """The changes of a file, in its order, and the errors of its lines."""

    changes: list[UserChange] = field(default_factory=list[UserChange])
    errors: list[LineError] = field(default_factory=list[LineError])


def plan_import(text: str, users: Sequence[Row], groups: Sequence[Row], min_password_length: int) -> UsersImport:
    """Return the changes that give the users of the file (CSV with a header) the values of their lines.
    `min_password_length` is that of the installation."""
    result = UsersImport()
    reader = csv.DictReader(io.StringIO(text.removeprefix("\N{BYTE ORDER MARK}")), restkey="", strict=True)
    try:
        header = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = header
        if problem := _header_problem(header):
            return UsersImport(errors=[LineError(1, shortened(problem))])
        present = {_key(user["username"]): user for user in users if not user.get("anonymous")}
        group_names = {group["name"] for group in groups}
        line_of_user: dict[str, int] = {}
        for cells in reader:
            line, errors = reader.line_num, list[str]()
            values = _values(cells, group_names, errors.append)
            key = _key(values.get("username", ""))
            if key in line_of_user:
                errors.append(f"The user {values['username']} is also in line {line_of_user[key]}.")
            line_of_user.setdefault(key, line)
            result.errors.extend(LineError(line, shortened(error)) for error in errors)
            change = None if errors else _change(line, values, present.get(key))
            if change is not None and (problem := _password_problem(change, min_password_length)):
                result.errors.append(LineError(line, problem))
            elif change is not None:
                result.changes.append(change)
    except csv.Error as error:
        result.errors.append(LineError(reader.reader.line_num, f"The line is not CSV: {error}."))
    return result


def _key(username: str) -> str:
    """Return the form in which user names are compared."""
    return unicodedata.normalize("NFKC", username).casefold()


def _header_problem(header: Sequence[str]) -> str | None:
    if unknown := [name for name in header if name not in _FIELDS and name != ERROR]:
        return f"There is no column {unknown[0]!r}; the columns are {', '.join(_FIELDS)}."
    if "username" not in header:
        return "The column username is missing."
    if len(set(header)) < len(header):
        return "A column occurs twice."
    return None


def _values(cells: Mapping[str, Any], group_names: set[str], add_error: Callable[[str], None]) -> Row:
    """Return the values of the cells that are not empty. `add_error` receives each problem."""
    values: Row = {}
    if "" in cells:
        add_error("The line has more cells than the header; quote values that contain a comma.")
    for name, cell in cells.items():
        text = cell.strip() if isinstance(cell, str) and name != "password" else cell
        if not name or not text or name == ERROR:
            continue
        if name == "groups":
            values[name] = sorted({part.strip() for part in text.split(SEPARATOR) if part.strip()} | {ALL_USERS})
            for group in values[name]:
                if group not in group_names:
                    add_error(f"There is no group {group}; separate several groups with {SEPARATOR!r}.")
        elif _FIELDS[name].type == "boolean":
            if text.casefold() in _BOOLEANS:
                values[name] = _BOOLEANS[text.casefold()]
            else:
                add_error(f"`{name}` must be true or false, not {text!r}.")
        else:
            values[name] = text
    if problem := username_problem(values.get("username", "")):
        add_error(problem)
    return values


def _change(line: int, values: Row, user: Row | None) -> UserChange | None:
    """Return the change of a line; None if the user already has the values. The password of a user is not changed."""
    if user is None:
        return UserChange(line, values["username"], None, values)
    present = {**user, "groups": sorted(group["name"] for group in user["groups"])}
    immutable = {"username", "password"}
    changed = {name: value for name, value in values.items() if name not in immutable and present[name] != value}
    return UserChange(line, user["username"], user["user_id"], changed) if changed else None


def _password_problem(change: UserChange, min_length: int) -> str | None:
    """Return the reason why the api would refuse the password of a new user."""
    password = change.values.get("password")
    return password_problem(password, change.username, min_length=min_length) if password else None


_COLUMNS: Final = columns(Column("Line", "line"), Column("User", "username"), "action", "fields")

File = Annotated[str, typer.Argument(metavar="FILE", help="CSV with a header, UTF-8; - = stdin.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the changes and errors; change nothing.")]


@verb("users", "import", takes_object=False)
def import_users(call: Call, *, file: File, dry_run: DryRun = False) -> None:
    """Create and update users and their memberships from a CSV file. With an invalid line, nothing is changed."""
    groups = call.client.rows("/groups")
    text = read_text(file)
    min_length = _min_password_length(call) if "password" in text.partition("\n")[0] else 0
    plan = plan_import(text, call.client.rows("/users"), groups, min_length)
    is_applied = not dry_run and not plan.errors
    applied = plan if dry_run else UsersImport(errors=plan.errors)
    if is_applied:
        group_ids = {group["name"]: group["group_id"] for group in groups}
        applied = _apply(call.client, plan.changes, group_ids, call.output.err.print)
    rows = [change.as_row for change in applied.changes]
    report = {"changes": rows, "errors": [asdict(error) for error in applied.errors], "applied": is_applied}
    if not call.output.print_if_json(report):
        call.output.print_list(
            rows, _COLUMNS, "No user was changed." if applied.errors else "The file changes no user."
        )
        if rows:
            call.output.err.print("Nothing was changed." if dry_run else f"The file is applied: {len(rows)} users.")
    for error in applied.errors:
        call.output.err.print(styled(printable(f"{file}:{error.line}: {error.message}"), "red"), soft_wrap=True)
    if applied.errors:
        raise typer.Exit(1)


def _min_password_length(call: Call) -> int:
    """Return the minimum length of a password in the installation. Without the permission to read it, warn, and return
    the lowest possible minimum; the api still refuses a password that is too short."""
    try:
        settings = {row["name"]: row["value"] for row in call.client.get("/settings")}
    except ApiError as error:
        if not isinstance(error.__cause__, Forbidden):
            raise
        minimum = INSTALLATION_SETTINGS[_MIN_LENGTH].minimum
        call.output.print_warning(
            f"Passwords are checked for {minimum} characters only: the permission settings_view is needed to read the"
            f" setting `{_MIN_LENGTH}`."
        )
        return int(minimum or 0)
    return settings[_MIN_LENGTH]


def _apply(
    client: Client, changes: Sequence[UserChange], ids: Mapping[str, str], report: Callable[[str], None]
) -> UsersImport:
    """Send the request of each change, several at the same time, until the server or its database is unreachable.
    `report` receives the progress. Return the applied changes and the errors."""
    applied, is_away = UsersImport(), threading.Event()

    def send(change: UserChange) -> LineError | None:
        """Return the error of a change; None = it is applied. No request is sent to a server that is away."""
        body = dict(change.values)
        if "groups" in body:
            body["groups"] = [ids[name] for name in body["groups"]]
        try:
            if is_away.is_set():
                raise ApiError("Not sent, because the server does not answer.")
            if change.user_id is None:
                client.post("/users", body)
            else:
                client.patch(f"/users/{change.user_id}", body)
        except ApiError as error:
            if isinstance(error.__cause__, Unavailable) and not isinstance(error.__cause__, Busy):
                is_away.set()
            return LineError(change.line, error.message)
        return None

    with ThreadPoolExecutor(PARALLEL) as pool:
        for number, (change, error) in enumerate(zip(changes, pool.map(send, changes), strict=True), 1):
            if error is None:
                applied.changes.append(change)
            else:
                applied.errors.append(error)
            if number % PROGRESS_ROWS == 0 and number < len(changes):
                report(f"{number} of {len(changes)} users")
    return applied
