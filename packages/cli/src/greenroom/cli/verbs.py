"""Converts functions into commands, and creates the verbs of every noun from its entry in `greenroom.cli.nouns`."""

from __future__ import annotations

import importlib
import inspect
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, cast

import typer

from greenroom.cli.client import ApiError, Client
from greenroom.cli.lazy import LazyCommand, LazyGroup, build_command
from greenroom.cli.noun import API, Noun, RequestVerb, parse_uuid
from greenroom.cli.nouns import NOUNS
from greenroom.cli.options import FieldOption, argument, options_for, request_body
from greenroom.cli.output import Column, NestedTables, Printer, Row
from greenroom.cli.server import find_server
from greenroom.cli.values import duration_parser

ID_FIELDS: Final = {
    "images": "images",
    "default_image": "images",
    "web_filter_policy": "filter-policies",
    "server_id": "agents",
    "groups": "groups",
    "zones": "zones",
}
"""Field of a response, or setting, that contains the id of an object without its name → the noun of the object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a command: the client of the deployment, the output, and the arguments. `target` is the name or id of
    an object of `noun`; `noun` is None for a verb without an object. `fields` are the values of the `options`.
    """

    client: Client
    output: Printer
    noun: Noun | None = None
    target: str = ""
    options: Sequence[FieldOption] = ()
    fields: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def path(self) -> str:
        """The path of the object. Raises ApiError: no object has this name or id."""
        assert self.noun is not None, "this verb takes no object"  # noqa: S101 -- only verbs with `takes_object` use it
        return f"{self.noun.path}/{self.noun.find_id(self.client, self.target)}"

    def body(self) -> Row:
        """Return the body of the request, with the fields whose options were passed."""
        return request_body(self.options, self.fields, self.client)

    def print_object(self, row: Row, nested_tables: NestedTables = ()) -> None:
        """Print one object: as JSON, or with names in place of ids and the fields in `nested_tables` as tables."""
        self.output.print_object(row if self.output.as_json else self._with_names(row), nested_tables)

    def print_list(
        self, path: str, columns: Sequence[Column], empty_text: str, limit: int | None = None, *, fold: bool = False
    ) -> None:
        """Print a list, with the passed fields as filters."""
        self.output.print_list(self.client.rows(path, self.body(), limit), columns, empty_text, fold=fold)

    def _with_names(self, row: Row) -> Row:
        """Return `row` with names in place of ids. An id stays if it has no name, or if the API key may not read the
        name.
        """
        return {name: self._with_name(name, value) for name, value in row.items()}

    def _with_name(self, field: str, value: Any) -> Any:
        if isinstance(value, dict):
            return self._with_names(cast("Row", value))
        is_list = isinstance(value, list)
        ids = cast("list[Any]", value) if is_list else [value]
        if field == "roles":
            return [self._with_names(role) for role in ids]
        if field not in ID_FIELDS or not ids or not all(isinstance(item, str) and parse_uuid(item) for item in ids):
            return value
        noun = NOUNS[ID_FIELDS[field]]
        try:
            rows = self.client.rows(noun.path)
        except ApiError:  # the API key may lack the permission for this noun
            return value
        names = {row[noun.id_field]: row[noun.name_field or noun.id_field] for row in rows}
        texts = [names.get(item, item) for item in ids]
        return texts if is_list else texts[0]


def _deployment_option(variable: str, text: str, **settings: Any) -> Any:
    return typer.Option(envvar=variable, help=text, rich_help_panel="Deployment", **settings)


Url = Annotated[str | None, _deployment_option("GREENROOM_URL", "Address of the deployment, https://….")]
Key = Annotated[str | None, _deployment_option("GREENROOM_KEY", "API key.")]
KeySecret = Annotated[str | None, _deployment_option("GREENROOM_SECRET", "Secret of the API key.")]
CaFile = Annotated[Path | None, _deployment_option("GREENROOM_CA_FILE", "Certificate of the authority, PEM.")]
_Data = Annotated[
    Path | None,
    # The commands open only files with known names in the folder, so they need no permission to list the folder.
    _deployment_option("GREENROOM_DATA", "Folder of the local instance, used without --url.", readable=False),
]
Limit = Annotated[int, typer.Option(min=1, help="Maximum number of rows, newest first.")]
Within = Annotated[
    float, typer.Option("--within", parser=duration_parser("s"), metavar="DURATION", help="Longest wait, in seconds.")
]


def common_options(
    *,
    url: Url = None,
    key: Key = None,
    secret: KeySecret = None,
    ca_file: CaFile = None,
    data: _Data = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    wide: Annotated[bool, typer.Option("--wide", help="Show all columns and complete values in lists.")] = False,
) -> None:
    """The options of every command."""


_COMMON_PARAMETERS: Final = inspect.signature(common_options, eval_str=True).parameters


VerbFunction = Callable[..., None]
OptionsFactory = Callable[[], Sequence[FieldOption]]
"""Creates the options of a verb when the verb is used."""

_VERBS: Final[defaultdict[str, dict[str, LazyCommand]]] = defaultdict(dict)
"""Noun → verb → its command, for the verbs that are functions."""


def field_options(operation: str, *excluded: str) -> OptionsFactory:
    """Return a function that creates an option for each field of an operation of the api, except the `excluded` fields.
    Only a PATCH can set a field to null.
    """
    with_null = operation.startswith("PATCH")
    return lambda: options_for((f for f in API[operation].fields if f.name not in excluded), with_null=with_null)


def noun_group(name: str, text: str, *modules: str) -> LazyGroup:
    """Return the group of a noun: the verbs of its entry in `NOUNS`, then the verbs that these modules define. Without
    a verb, the group prints its help."""
    for module in modules:
        importlib.import_module(f"greenroom.cli.{module}")
    standard = [] if name not in NOUNS else _standard_verbs(NOUNS[name])
    added = [command for _, command in sorted(_VERBS[name].items())]  # independent of the order of imports
    commands: dict[str, Any] = {command.name or "": command for command in (*standard, *added)}
    return LazyGroup(name=name, help=text, no_args_is_help=True, rich_markup_mode=None, commands=commands)


def verb(
    noun: str, name: str = "", *, options: OptionsFactory = list[FieldOption], takes_object: bool = True
) -> Callable[[VerbFunction], VerbFunction]:
    """Return a decorator that adds a function as the command `greenroom NOUN NAME`. The first parameter of the function
    is a `Call`. The default of NAME is the name of the function.

    `options` creates the options from fields, and `Call.body` returns their values. With `takes_object`, the first
    argument of the command is the name or id of an existing object, and `Call.target` contains it. Otherwise the
    function declares all arguments.
    """

    def add(function: VerbFunction) -> VerbFunction:
        verb_name = name or function.__name__.replace("_", "-")
        object_noun = NOUNS[noun] if takes_object else None
        _VERBS[noun][verb_name] = _lazy_verb(verb_name, inspect.getdoc(function) or "", function, object_noun, options)
        return function

    return add


def local_verb(noun: str, name: str, function: VerbFunction) -> None:
    """Add a function with typer's signature as the command `greenroom NOUN NAME`. The command sends no request to a
    deployment."""
    _VERBS[noun][name] = LazyCommand(name, inspect.getdoc(function) or "", partial(build_command, name, function))


def command(function: VerbFunction, noun: Noun | None = None, options: Sequence[FieldOption] = ()) -> VerbFunction:
    """Return a command with typer's signature that calls `function`. Its parameters are the object, `options`, the
    parameters of `function` after the `Call`, and the options of every command.
    """
    identity = [] if noun is None else [argument("object_id", "ID", f"The {noun.singular}, {noun.identified_by}.")]
    own_parameters = list(inspect.signature(function, eval_str=True).parameters.values())[1:]

    def run(**arguments: Any) -> None:
        server_options = {name: arguments.pop(name) for name in _COMMON_PARAMETERS}
        output = Printer(as_json=server_options.pop("as_json"), wide=server_options.pop("wide"))
        target = arguments.pop("object_id") if noun is not None else ""  # else it may be the id of a filter
        fields = {option.field: arguments.pop(option.parameter.name) for option in options}
        with Client(find_server(**server_options)) as client:
            function(
                Call(client=client, output=output, noun=noun, target=target, options=options, fields=fields),
                **arguments,
            )

    run.__doc__ = function.__doc__
    run.__annotations__ = {}
    parameters = [*identity, *(option.parameter for option in options), *own_parameters, *_COMMON_PARAMETERS.values()]
    run.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
    return run


def _lazy_verb(name: str, text: str, function: VerbFunction, noun: Noun | None, options: OptionsFactory) -> LazyCommand:
    def make() -> Any:
        run = command(function, noun, options())
        run.__doc__ = text
        return build_command(name, run)

    return LazyCommand(name, text, make)


def _standard_verbs(noun: Noun) -> list[LazyCommand]:
    """Return the verbs of a noun that need no function: its operations in the api (`list`, `get`, `create`, `update`,
    `delete`), and its actions."""
    a_noun = f"{'an' if noun.singular.startswith('A') else 'a'} {noun.singular}"
    operations = {"create": f"POST {noun.path}", "update": noun.operation("PATCH"), "delete": noun.operation("DELETE")}
    missing = {name for name, operation in operations.items() if operation not in API} | noun.excluded

    def rows(
        call: Call, *, limit: Annotated[int | None, typer.Option(min=1, help="Maximum number of rows.")] = None
    ) -> None:
        call.print_list(noun.path, noun.columns, f"There is no {noun.singular}.", limit)

    def create(call: Call) -> None:
        call.print_object(call.client.post(noun.path, call.body()))

    def delete(call: Call) -> None:
        path = call.path
        call.client.delete(path, call.body())
        deleted = {noun.id_field: path.rpartition("/")[2], "deleted": True}
        call.output.print_result(f"The {noun.singular} {call.target} is deleted.", deleted)

    # `list` has no option for the id, because `get` shows a single object.
    filters = field_options(f"GET {noun.path}", noun.id_field)
    delete_options = field_options(noun.operation("DELETE"), *noun.excluded)
    verbs = [
        _lazy_verb("list", f"List {noun.plural}.", rows, None, filters),
        _request_verb(RequestVerb("get", f"Show one {noun.singular} with all its fields.", method="GET"), noun),
        _lazy_verb("create", f"Create {a_noun}.", create, None, partial(_create_options, noun)),
        _request_verb(RequestVerb("update", f"Update {a_noun}. Omitted options change nothing."), noun),
        _lazy_verb("delete", f"Delete {a_noun}.", delete, noun, delete_options),
    ]
    actions = [_request_verb(action, noun) for action in noun.actions]
    return [*(verb for verb in verbs if verb.name not in missing), *actions]


def _create_options(noun: Noun) -> list[FieldOption]:
    """Return the options of `create`. The name of the new object is an argument."""
    options = options_for((f for f in API[f"POST {noun.path}"].fields if f.name != noun.name_field), with_null=False)
    if noun.name_field is None:
        return options
    name = argument(noun.name_field, noun.name_field.upper(), f"The name of the new {noun.singular}.")
    return [FieldOption(noun.name_field, name, lambda value, _: value), *options]


def _request_verb(action: RequestVerb, noun: Noun) -> LazyCommand:
    operation = API.get(noun.operation(action.method, action.path))
    takes_fields = (
        action.method in ("PATCH", "POST") and action.body is None and operation is not None and bool(operation.fields)
    )

    def run(call: Call) -> None:
        body = call.body() if action.body is None else action.body
        if action.method == "PATCH" and not body:
            raise typer.BadParameter("No change was specified; pass at least one option.")
        answer = call.client.request(action.method, f"{call.path}{action.path}", body if takes_fields else body or None)
        if action.columns:
            call.output.print_list(answer, action.columns, action.empty_text)
        else:
            call.print_object(answer, noun.nested_tables)

    options = (
        field_options(noun.operation(action.method, action.path), *noun.excluded) if takes_fields else list[FieldOption]
    )
    text = action.help or API[noun.operation(action.method, action.path)].text
    return _lazy_verb(action.verb, text, run, noun, options)
