"""Options made from the fields of a request, the request made from the given options, and query parameters of lists.

`--enabled/--no-enabled` for a boolean; a name or id for a reference; the option of a list can be repeated, once and
empty it empties the list; the option of an object takes `NAME=VALUE` (repeated) or a JSON object; `null` for a nullable
field; `-` reads a secret from stdin. What was not given is not sent.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from getpass import getpass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, cast, get_args, get_origin
from uuid import UUID

import typer
from pydantic import AwareDatetime, Field, SecretStr
from pydantic.fields import FieldInfo

from greenroom.api.bodies import Body
from greenroom.cli.client import Client
from greenroom.cli.names import find_id
from greenroom.cli.nouns import NOUNS, REFERENCES
from greenroom.cli.options import NULL, FieldOption, Read
from greenroom.cli.values import assignments, duration, items_of, moment, number
from greenroom.core.access.group_settings import SETTINGS
from greenroom.core.session.states import SessionStatus
from greenroom.core.webhooks import DeliveryState

SECRETS: Final = frozenset({"docker_token"})
"""Secret fields that the api takes as plain text."""
FILES: Final = frozenset({"ssh_public_key", "ssh_private_key"})
"""Fields whose option takes the path of a file; `-` = stdin."""
VALUES: Final = frozenset({"value"})
"""Secret fields whose option takes the path of a file, and never the secret: others on the machine see arguments."""
DURATIONS: Final = {"expiration": "h", "hours": "h", "session_time_limit": "s", "deadline_s": "s"} | dict.fromkeys(
    ("idle_s", "order_deadline_s"), "s"
)
"""Fields with a duration, and its unit."""
AHEAD: Final = frozenset({"expires"})
"""Times in the future: a duration given for one counts from now; for all others it means that long ago."""
SINGULAR: Final = {"groups": "group", "permissions": "permission", "categories": "category", "events": "event"} | {
    "hosts": "host",
    "users": "user",
}
"""Field → its repeated option, named in the singular."""
RENAMED: Final = {"url": "address"}
"""Field → its option, where that of the deployment has its name."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """How an option is parsed: its type for typer or a parser instead, and its metavar."""

    annotation: Any
    read: Read
    parser: Callable[[str], Any] | None = None
    metavar: str | None = None


def options_of(model: type[Body], without: Set[str] = frozenset(), *, with_null: bool = True) -> list[FieldOption]:
    """An option for every field of `model` (a body or a query) except those `without`, the required ones first.
    `with_null`: a nullable field accepts `null`; False where that equals giving nothing."""
    fields = [(name, info) for name, info in model.model_fields.items() if name not in without]
    fields.sort(key=lambda field: (not field[1].is_required(), field[0] not in REFERENCES))
    return [_option(name, info, with_null=with_null) for name, info in fields]


def _option(name: str, info: FieldInfo, *, with_null: bool) -> FieldOption:
    kind = _kind(name, info, with_null=with_null)
    option = typer.Option(
        *_names(name, boolean=kind.annotation is bool),
        help=_help(name, info),
        parser=kind.parser,
        metavar=kind.metavar,
        show_default=False,
    )
    annotation = kind.annotation if info.is_required() else kind.annotation | None
    parameter = inspect.Parameter(
        RENAMED.get(name, name),
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[annotation, option],
        default=inspect.Parameter.empty if info.is_required() else None,
    )
    return FieldOption(name, parameter, kind.read)


def _names(field: str, *, boolean: bool) -> list[str]:
    full = RENAMED.get(field, field).replace("_", "-")
    if boolean:
        return [f"--{full}/--no-{full}"]
    short = SINGULAR.get(field) or (full.removesuffix("-id") if field in REFERENCES else full)
    return [f"--{short}"] if short == full else [f"--{short}", f"--{full}"]


def _help(name: str, info: FieldInfo) -> str:
    setting = SETTINGS.get(name)
    text = info.description or (setting.description if setting else "")
    origin = get_origin(_unwrapped(info.annotation)[0])
    how = _how(name, info)
    text = f"{text} ({how})" if text and how else text or how
    text += "; may be repeated" if text and origin in (list, dict) else ""
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _how(name: str, info: FieldInfo) -> str:
    """The metavar of a field whose value is typed in another form than the api takes."""
    plain = _unwrapped(info.annotation)[0]
    if name in REFERENCES:
        noun = NOUNS[REFERENCES[name]]
        return f"{'a' if get_origin(plain) is list else 'the'} {noun.what}, {noun.by}"
    if name in FILES:
        return "a file; '-' = stdin"
    if name in VALUES and plain is SecretStr:
        return "a file; '-' asks for it, or reads a line from stdin"
    return "'-' asks for it, or reads it from stdin" if name in SECRETS or plain is SecretStr else ""


def _kind(name: str, info: FieldInfo, *, with_null: bool) -> _Kind:
    plain, nullable = _unwrapped(info.annotation)
    kind = _list_kind(name, plain) or _simple_kind(name, plain)
    if nullable and with_null and get_origin(plain) is not Literal:
        return _Kind(str, kind.read, _or_null(kind), f"{kind.metavar or 'TEXT'}|null")
    return kind


def _list_kind(name: str, plain: Any) -> _Kind | None:
    """For fields whose option is repeated."""
    if get_origin(plain) is dict:
        of_texts = _unwrapped(get_args(plain)[1])[0] is str
        known = SETTINGS if name == "settings" else None
        return _Kind(
            list[str], lambda given, _: assignments(given, as_texts=of_texts, settings=known), metavar="NAME=VALUE"
        )
    if get_origin(plain) is not list:
        return None
    if name not in REFERENCES:
        return _Kind(list[str], lambda given, _: items_of(given))
    noun = NOUNS[REFERENCES[name]]
    return _Kind(list[str], lambda given, client: [find_id(client, noun, item) for item in items_of(given)])


def _simple_kind(name: str, plain: Any) -> _Kind:
    if name in REFERENCES:
        noun = NOUNS[REFERENCES[name]]
        return _Kind(
            str, lambda given, client: find_id(client, noun, given), metavar=noun.what.upper().replace(" ", "_")
        )
    if name in FILES:
        return _Kind(str, lambda given, _: _text_of(given), metavar="FILE")
    if name in VALUES and plain is SecretStr:
        return _Kind(str, lambda given, _: _value(name, given), metavar="FILE")
    if name in SECRETS or plain is SecretStr:
        return _Kind(str, lambda given, _: _secret(name, given))
    if plain is UUID:
        return _Kind(str, _as_given, metavar="UUID")
    return _measured_kind(name, plain)


def _measured_kind(name: str, plain: Any) -> _Kind:
    """For times, durations and numbers; other values are passed unchanged."""
    if plain in (datetime, AwareDatetime):
        return _Kind(str, _as_given, moment(ahead=name in AHEAD), "TIME")
    if name in DURATIONS:
        return _Kind(plain, _as_given, duration(DURATIONS[name], whole=plain is int), "DURATION")
    if plain is float:
        return _Kind(float, _as_given, number, "NUMBER")
    return _Kind(plain, _as_given, metavar={int: "INTEGER"}.get(plain))


def _unwrapped(annotation: Any) -> tuple[Any, bool]:
    if get_origin(annotation) is Annotated:
        return _unwrapped(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        others = [part for part in get_args(annotation) if part is not NoneType]
        return _unwrapped(others[0])[0], True
    return annotation, False


def _or_null(kind: _Kind) -> Callable[[str], Any]:
    parse = kind.parser or cast("Callable[[str], Any]", kind.annotation)
    return lambda text: NULL if text == "null" else parse(text)


def _as_given(given: Any, client: Client) -> Any:
    return given


def _text_of(path: str) -> str:
    """Raises typer.BadParameter: it cannot be read as text."""
    try:
        return sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"The file {path} cannot be read: {error}.") from error


def _secret(name: str, given: str) -> str:
    """A secret that must not be in the list of processes: `-` prompts for it, without a terminal it reads a line."""
    if given != "-":
        return given
    return getpass(f"{name}: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")


def _value(name: str, given: str) -> str:
    """A secret from a file, or as `_secret` has it.

    Raises:
        typer.BadParameter: there is no such file; the sentence does not repeat what may be the secret itself.
    """
    if given == "-":
        return _secret(name, given)
    if not Path(given).is_file():
        raise typer.BadParameter(
            f"There is no such file. Others on this machine see arguments, so --{name} is never the secret itself: give"
            " a file that has it, or - to be asked for it or to send it as a line on stdin."
        )
    return _text_of(given).rstrip("\r\n")


Outcome = Literal["staged", "on_demand", "failed"]
Level = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


class UserFilter(Body):
    """Which users a list shows."""

    q: Annotated[str, Field(description="part of a name")] = ""
    group_id: UUID | None = None


class SessionFilter(Body):
    """Which sessions a list shows."""

    q: Annotated[str, Field(description="only rows with all these words; `zone:eu` looks in one column")] = ""
    user_id: UUID | None = None
    image_id: UUID | None = None
    staging_config_id: UUID | None = None
    agent_id: UUID | None = None
    status: Annotated[SessionStatus, Field(description="in this status")] = SessionStatus.RUNNING
    staged: Annotated[bool, Field(description="without a user; --no-staged: with one")] = False
    ended: Annotated[bool, Field(description="also those that ended in the last days")] = False
    set_aside: Annotated[bool, Field(description="instead those whose hand-over to a user failed")] = False


class HomeFilter(Body):
    """Which home folders a list shows."""

    q: Annotated[str, Field(description="only rows with all these words; `host:one` looks in one column")] = ""
    user_id: UUID | None = None
    image_id: UUID | None = None
    agent_id: UUID | None = None


class MachineOrderFilter(Body):
    """Which orders of machines a list shows."""

    machine_pool_id: UUID | None = None
    open: Annotated[bool, Field(description="those whose machine is, or may be, there; --no-open: the others")] = True


class LaunchFilter(Body):
    """Which launches a list shows."""

    q: Annotated[str, Field(description="only rows with all these words")] = ""
    outcome: Annotated[Outcome, Field(description="how it ended")] = "failed"
    user_id: UUID | None = None
    image_id: UUID | None = None


class LogFilter(Body):
    """Which log rows are shown."""

    level: Annotated[Level, Field(description="this one and above")] = "INFO"
    component: Annotated[str, Field(description="one of api, manager, agent …")] = ""
    code: Annotated[str, Field(description="for example staging-violation")] = ""
    q: Annotated[str, Field(description="part of the message")] = ""
    since: Annotated[datetime, Field(description="from this time on")] = datetime.min.replace(tzinfo=UTC)
    until: Annotated[datetime, Field(description="before this time")] = datetime.max.replace(tzinfo=UTC)
    zone_name: Annotated[str, Field(description="about this zone")] = ""
    user_id: Annotated[UUID | None, Field(description="what this user did, or what happened to their sessions")] = None
    session_id: UUID | None = None
    staging_config_id: UUID | None = None


class RequestFilter(Body):
    """Which requests of Agents are shown."""

    status: Annotated[int, Field(description="answered with this status, e.g. 503")] = 503
    refused: Annotated[bool, Field(description="not answered with 2xx; --no-refused: the others")] = True
    agent_id: UUID | None = None
    manager_instance_id: Annotated[str, Field(description="answered by this Manager, or by the gateway for it")] = ""
    since: Annotated[datetime, Field(description="from this time on")] = datetime.min.replace(tzinfo=UTC)
    until: Annotated[datetime, Field(description="before this time")] = datetime.max.replace(tzinfo=UTC)


class DeliveryFilter(Body):
    """Which deliveries of a webhook a list shows."""

    state: Annotated[DeliveryState, Field(description="in this state")] = DeliveryState.WAITING
