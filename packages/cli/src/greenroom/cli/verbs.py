"""Converts functions into commands, and creates the verbs of every noun from its entry in the table of nouns."""

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
from greenroom.cli.lazy import LazyCommand, LazyGroup, command_of
from greenroom.cli.noun import API, Noun, RequestVerb, uuid_of
from greenroom.cli.nouns import NOUNS
from greenroom.cli.options import FieldOption, argument, body_of, options_of
from greenroom.cli.output import Column, Parts, Printer, Row
from greenroom.cli.server import find_server
from greenroom.cli.values import duration

ID_FIELDS: Final = {
    "images": "images",
    "default_image": "images",
    "web_filter_policy": "filter-policies",
    "server_id": "agents",
}
"""Field of a response, or setting, with an id but without a name → its noun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a command: the deployment, the output, and the input: `target` for the object of `noun` (None: no
    object), `fields` for the `options`.
    """

    client: Client
    output: Printer
    noun: Noun | None = None
    target: str = ""
    options: Sequence[FieldOption] = ()
    fields: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def path(self) -> str:
        """The path of the object. Raises ApiError: there is none of this name or id."""
        assert self.noun is not None, "a verb of nothing"  # noqa: S101 -- only verbs `of_one` use it
        return f"{self.noun.path}/{self.noun.find_id(self.client, self.target)}"

    def body(self) -> Row:
        """Return the passed fields in the form of the api."""
        return body_of(self.options, self.fields, self.client)

    def one(self, row: Row, parts: Parts = ()) -> None:
        """Print one object, for people with names in place of ids and its `parts` as tables."""
        self.output.one(row if self.output.as_json else self._with_names(row), parts)

    def show_list(
        self, path: str, columns: Sequence[Column], empty_text: str, limit: int | None = None, *, whole: bool = False
    ) -> None:
        """Print a list, with the passed fields as filters."""
        self.output.rows(self.client.rows(path, self.body(), limit), columns, empty_text, whole=whole)

    def _with_names(self, row: Row) -> Row:
        """Return `row` with names in place of ids. An id without a name, or that this key may not look up, is not
        changed.
        """
        return {name: self._with_name(name, value) for name, value in row.items()}

    def _with_name(self, field: str, value: Any) -> Any:
        if isinstance(value, dict):
            return self._with_names(cast("Row", value))
        many = isinstance(value, list)
        ids = cast("list[Any]", value) if many else [value]
        if field not in ID_FIELDS or not ids or not all(isinstance(one, str) and uuid_of(one) for one in ids):
            return value
        noun = NOUNS[ID_FIELDS[field]]
        try:
            rows = self.client.rows(noun.path)
        except ApiError:  # a key may be allowed to see one noun and not another
            return value
        names = {row[noun.key]: row[noun.name or noun.key] for row in rows}
        texts = [names.get(one, one) for one in ids]
        return texts if many else texts[0]


def _of_deployment(variable: str, text: str, **settings: Any) -> Any:
    return typer.Option(envvar=variable, help=text, rich_help_panel="Deployment", **settings)


Url = Annotated[str | None, _of_deployment("GREENROOM_URL", "Address of the deployment, https://….")]
Key = Annotated[str | None, _of_deployment("GREENROOM_KEY", "API key.")]
KeySecret = Annotated[str | None, _of_deployment("GREENROOM_SECRET", "Secret of the API key.")]
CaFile = Annotated[Path | None, _of_deployment("GREENROOM_CA_FILE", "Certificate of the authority, PEM.")]
_Data = Annotated[
    Path | None,
    # The folder is only traversed, so it may be unreadable; its content shows which account owns it.
    _of_deployment("GREENROOM_DATA", "Folder of the local instance, used without --url.", readable=False),
]
Limit = Annotated[int, typer.Option(min=1, help="Maximum number of rows, newest first.")]
Within = Annotated[
    float, typer.Option("--within", parser=duration("s"), metavar="DURATION", help="Longest wait, in seconds.")
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


_COMMON: Final = inspect.signature(common_options, eval_str=True).parameters


Run = Callable[..., None]
Options = Callable[[], Sequence[FieldOption]]
"""The options of a verb, which are created when it is used."""

_VERBS: Final[defaultdict[str, dict[str, LazyCommand]]] = defaultdict(dict)
"""Noun → the verbs from functions."""


def fields_of(operation: str, *without: str) -> Options:
    """Return an option for each field of an operation of the api, except those `without`. A change can set a field to
    null; elsewhere, null equals no value.
    """
    with_null = operation.startswith("PATCH")
    return lambda: options_of((one for one in API[operation].fields if one.name not in without), with_null=with_null)


def group(name: str, text: str, *modules: str) -> LazyGroup:
    """Return the group of a noun: the verbs of its entry in the table, then those of functions in these modules. It
    prints its help if no verb is named."""
    for module in modules:
        importlib.import_module(f"greenroom.cli.{module}")
    generic = [] if name not in NOUNS else _generic(NOUNS[name])
    added = [later for _, later in sorted(_VERBS[name].items())]  # in an order that no import changes
    commands: dict[str, Any] = {command.name or "": command for command in (*generic, *added)}
    return LazyGroup(name=name, help=text, no_args_is_help=True, rich_markup_mode=None, commands=commands)


def verb(
    noun: str, name: str = "", *, options: Options = list[FieldOption], of_one: bool = True
) -> Callable[[Run], Run]:
    """Make a function that takes a `Call` the command `greenroom NOUN NAME`; the default name is that of the function.
    `options` are created from fields, and `Call.body` has their values. `of_one`: its first argument names one object.
    """

    def add(function: Run) -> Run:
        called = name or function.__name__.replace("_", "-")
        thing = NOUNS[noun] if of_one else None
        _VERBS[noun][called] = _lazy_verb(called, inspect.getdoc(function) or "", function, thing, options)
        return function

    return add


def plain_verb(noun: str, name: str, function: Run) -> None:
    """Make a function with typer's signature, which uses no deployment, the command `greenroom NOUN NAME`."""
    _VERBS[noun][name] = LazyCommand(name, inspect.getdoc(function) or "", partial(command_of, name, function))


def command(function: Run, noun: Noun | None = None, options: Sequence[FieldOption] = ()) -> Run:
    """Return `function` with typer's signature: the object, its options, its own parameters, and those of every
    command.
    """
    identity = [] if noun is None else [argument("given_id", "ID", f"The {noun.singular}, {noun.by}.")]
    own_parameters = list(inspect.signature(function, eval_str=True).parameters.values())[1:]

    def run(**arguments: Any) -> None:
        server_options = {name: arguments.pop(name) for name in _COMMON}
        output = Printer(as_json=server_options.pop("as_json"), wide=server_options.pop("wide"))
        target = arguments.pop("given_id", "")
        fields = {option.field: arguments.pop(option.parameter.name) for option in options}
        with Client(find_server(**server_options)) as client:
            function(
                Call(client=client, output=output, noun=noun, target=target, options=options, fields=fields),
                **arguments,
            )

    run.__doc__ = function.__doc__
    run.__annotations__ = {}
    parameters = [*identity, *(option.parameter for option in options), *own_parameters, *_COMMON.values()]
    run.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
    return run


def _lazy_verb(name: str, text: str, function: Run, noun: Noun | None, options: Options) -> LazyCommand:
    def make() -> Any:
        run = command(function, noun, options())
        run.__doc__ = text
        return command_of(name, run)

    return LazyCommand(name, text, make)


def _generic(noun: Noun) -> list[LazyCommand]:
    """Return the verbs from the entry of a noun: those of the operations that the api has, and its actions."""
    a_noun = f"{'an' if noun.singular.startswith('A') else 'a'} {noun.singular}"
    operations = {"create": f"POST {noun.path}", "update": noun.operation("PATCH"), "delete": noun.operation("DELETE")}
    missing = {name for name, operation in operations.items() if operation not in API} | noun.without

    def rows(
        call: Call, *, limit: Annotated[int | None, typer.Option(min=1, help="Maximum number of rows.")] = None
    ) -> None:
        call.show_list(noun.path, noun.columns, f"There is no {noun.singular}.", limit)

    def create(call: Call) -> None:
        call.one(call.client.post(noun.path, call.body()))

    def delete(call: Call) -> None:
        path = call.path
        call.client.delete(path, call.body())
        deleted = {noun.key: path.rpartition("/")[2], "deleted": True}
        call.output.done(f"The {noun.singular} {call.target} is deleted.", deleted)

    # Single rows of a list are `get` on the command line.
    filters = fields_of(f"GET {noun.path}", noun.key)
    found = [
        _lazy_verb("list", f"List {noun.plural}.", rows, None, filters),
        _action(RequestVerb("get", f"Show one {noun.singular} with all its fields.", method="GET"), noun),
        _lazy_verb("create", f"Create {a_noun}.", create, None, partial(_create_options, noun)),
        _action(RequestVerb("update", f"Update {a_noun}. Omitted options change nothing."), noun),
        _lazy_verb("delete", f"Delete {a_noun}.", delete, noun, fields_of(noun.operation("DELETE"), *noun.without)),
    ]
    return [*(verb for verb in found if verb.name not in missing), *(_action(one, noun) for one in noun.actions)]


def _create_options(noun: Noun) -> list[FieldOption]:
    """Return the options of `create`. The name of the new object is an argument."""
    options = options_of((f for f in API[f"POST {noun.path}"].fields if f.name != noun.name), with_null=False)
    if noun.name is None:
        return options
    name = argument(noun.name, noun.name.upper(), f"The name of the new {noun.singular}.")
    return [FieldOption(noun.name, name, lambda value, _: value), *options]


def _action(action: RequestVerb, noun: Noun) -> LazyCommand:
    def run(call: Call) -> None:
        body = call.body() if action.body is None else action.body
        if action.method == "PATCH" and not body:
            raise typer.BadParameter("No change was specified; pass at least one option.")
        answer = call.client.request(action.method, f"{call.path}{action.path}", body or None)
        if action.columns:
            call.output.rows(answer, action.columns, action.empty_text)
        else:
            call.one(answer, noun.parts)

    takes_fields = action.method == "PATCH" and action.body is None
    options = fields_of(noun.operation("PATCH", action.path), *noun.without) if takes_fields else list[FieldOption]
    text = action.help or API[noun.operation(action.method, action.path)].text
    return _lazy_verb(action.verb, text, run, noun, options)
