"""The output of commands: one line of JSON, or tables. Results go to stdout, all else to stderr.

rich is imported only for layouts, because its import takes longer than the rest of this module.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from math import ceil
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from greenroom.core.text import size

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

COLUMN_GAP: Final = 2
"""The number of spaces between two columns of a table."""

_UUID_PATTERN: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIME_PATTERN: Final = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
_CONTROL_CHARACTERS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Characters that would control the terminal; names and messages may come from untrusted users."""
_BYTE_FIELDS: Final = frozenset(
    {"memory", "memory_limit", "memory_allocated", "memory_override", "memory_reported", "memory_used"}
)
COLORS: Final = {
    word: color
    for color, words in (
        ("green", "running yes enabled staged used"),
        ("yellow", "requested starting assigning deleting stopping pausing pending unknown WARNING"),
        ("red", "failed lost unreachable missing dead ERROR"),
        ("dim", "- no deleted stopped paused DEBUG"),
    )
    for word in words.split()
}
"""Word in a table → its color."""
Row = dict[str, Any]

_TIME_UNITS: Final = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a list: its title, as in the console, and the field with its value or a function that returns the
    value. A `wide` column is displayed only with --wide. `folds`: a long value takes several lines, and is not
    shortened."""

    title: str
    value: str | Callable[[Row], Any]
    wide: bool = False
    folds: bool = False

    def value_of(self, row: Row) -> Any:
        """Return the value of this column in a row; None if the version of the deployment does not have the field."""
        return row.get(self.value) if isinstance(self.value, str) else self.value(row)

    @property
    def field(self) -> str:
        return self.value if isinstance(self.value, str) else ""


TIME: Final = Column("Time", lambda row: format_time(datetime.fromisoformat(row["time"])))
TITLES: Final = {
    "agent_hostname": "For Agent",
    "at": "Time",
    "available": "On an Agent",
    "client_ip": "From",
    "created_by": "Created by",
    "default_action": "Default action",
    "excludes_staging": "Excludes staging",
    "expiration": "Expiration (Hours)",
    "first_reported": "First Reported Time",
    "friendly_name": "Workspace",
    "hits_24h": "Hits (24 h)",
    "image_friendly_name": "Workspace",
    "looked": "Last read",
    "is_primary": "Primary Manager",
    "last_reported": "Last Reported Time",
    "load_balancing_strategy": "Load Balance Strategy",
    "login_id": "Log-in ID",
    "manager_instance_id": "Manager",
    "misses_24h": "Misses (24 h)",
    "num_images": "Workspaces",
    "read_only": "Read-only",
    "served_elsewhere": "Served elsewhere",
    "trace": "Where from",
    "user_agent": "Browser",
    "username": "User",
    "uses_left": "Left",
    "zone_name": "Zone",
}
"""Field → the title of its column, if the title differs from the words of the field."""


def columns(*parts: str | Column, wide: str = "") -> tuple[Column, ...]:
    """Return the columns of a list: names of fields separated by spaces, and columns with another title or value.
    `wide` contains the fields that are displayed only with --wide.
    """
    narrow = [
        column
        for part in parts
        for column in ([part] if isinstance(part, Column) else [Column(_title(field), field) for field in part.split()])
    ]
    return (*narrow, *(Column(_title(field), field, wide=True) for field in wide.split()))


def _title(field: str) -> str:
    words = field.removeprefix("num_").replace("_", " ").title()
    return TITLES.get(field) or (f"{words.removesuffix(' Id')} ID" if words.endswith(" Id") else words)


NestedTables = Sequence[tuple[str, Sequence[Column]]]
"""(field, columns of its table) of each field that is a list of objects."""


@dataclass(kw_only=True)
class Printer:
    """The output of one command: results go to `out`, progress and warnings to `err`. `wide`: lists have all columns
    and full values.
    """

    as_json: bool
    wide: bool = False

    @cached_property
    def out(self) -> Console:
        from greenroom.up.terminal import console  # noqa: PLC0415 -- see the docstring of this module

        return console()

    @cached_property
    def err(self) -> Console:
        from greenroom.up.terminal import console  # noqa: PLC0415 -- see the docstring of this module

        return console(stderr=True)

    def print_if_json(self, answer: Any) -> bool:
        """With --json, print a response as one line of JSON, and flush stdout. Return True if it was printed."""
        if self.as_json:
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
        return self.as_json

    def print_line(self, text: str = "", style: str = "") -> None:
        """Print one line of text."""
        self.out.print(styled(printable(text), style))

    def print_list(
        self, rows: Sequence[Row], columns: Sequence[Column], empty_text: str, *, fold: bool = False
    ) -> None:
        """Print a list, with `empty_text` in place of an empty table. `fold`: long values are folded instead of
        shortened.
        """
        if self.print_if_json(rows):
            return
        if rows:
            self._print_table(rows, columns, fold=fold)
        else:
            self.err.print(empty_text)

    def print_object(self, row: Row, nested_tables: NestedTables = ()) -> None:
        """Print one object with all its fields. The fields in `nested_tables` are tables below the other fields."""
        if self.print_if_json(row):
            return
        from rich.table import Table  # noqa: PLC0415 -- see the docstring of this module

        now = datetime.now(UTC)
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        tables = {name: columns for name, columns in nested_tables if row.get(name)}
        for name, value in row.items():
            if name not in tables:
                table.add_row(name, format_cell(value, name, now, full=True))
        self.out.print(table)
        for name, columns in tables.items():
            self.print_line()
            self._print_table(row[name], columns, fold=True)
        for sentence in warnings_in(row):
            self.print_warning(sentence)

    def _print_table(self, rows: Sequence[Row], columns: Sequence[Column], *, fold: bool) -> None:
        """Print a table that fits the terminal. Without a terminal, each row is one line with its full texts."""
        from rich import box  # noqa: PLC0415 -- see the docstring of this module
        from rich.table import Table  # noqa: PLC0415 -- the same

        now = datetime.now(UTC)
        visible = [column for column in columns if self.wide or not column.wide]
        cells = [[format_cell(column.value_of(row), column.field, now) for column in visible] for row in rows]
        max_width = None if self.wide or not self.out.is_terminal else self.out.width
        widths = _widths([column.title for column in visible], cells, max_width)
        table = Table(box=box.SIMPLE_HEAD, header_style="bold", show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
        for column, width in zip(visible, widths, strict=True):
            title = "\n".join(textwrap.wrap(column.title, width))
            folds = fold or column.folds
            table.add_column(title, width=width, no_wrap=not folds, overflow="fold" if folds else "ellipsis")
        for line in cells:
            table.add_row(*line)
        console_width = self.out.width
        self.out.width = sum(widths) + COLUMN_GAP * len(widths)  # a terminal may be narrower than ids and titles
        self.out.print(table)
        self.out.width = console_width

    def print_result(self, sentence: str, answer: Row) -> None:
        """Print `sentence`, or `answer` with --json."""
        if not self.print_if_json(answer):
            self.print_line(sentence)

    def print_warning(self, sentence: str | None) -> None:
        if sentence:
            self.err.print(styled(f"Warning: {printable(sentence)}", "yellow"))


def print_local_result(value: Any, *lines: str, as_json: bool) -> None:
    """Print the result of a command that has no `Printer`: `value` as JSON, or `lines`."""
    sys.stdout.write((json.dumps(value) if as_json else "\n".join(lines)) + "\n")


class PrintablePlan(Protocol):
    """The plan of an upgrade, which a dry run prints."""

    @property
    def is_empty(self) -> bool: ...
    def as_json(self) -> dict[str, object]: ...
    def lines(self) -> list[str]: ...


def print_plan(plan: PrintablePlan, *, as_json: bool) -> None:
    """Print the plan of a dry run."""
    lines = plan.lines() if plan.is_empty else [*plan.lines(), "Nothing was changed."]
    print_local_result(plan.as_json(), *lines, as_json=as_json)


def warnings_in(answer: Row) -> list[str]:
    """Return the warnings in a response of the api."""
    return [*filter(None, [answer.get("warning")]), *answer.get("warnings", ())]


def styled(text: str, style: Any = "") -> Text:
    """Return a text with a style of rich, such as a color."""
    from rich.text import Text  # noqa: PLC0415 -- see the docstring of this module

    return Text(text, style=style)


def _widths(titles: Sequence[str], cells: Sequence[Sequence[Text]], max_width: int | None) -> list[int]:
    """Return the width of each column, so that the table fits `max_width` (None = unlimited). The widest columns become
    narrower, but no word of a title is cut. The first column and columns with ids keep their width, because other
    commands accept their values as arguments.
    """
    value_widths = [max(text.cell_len for text in column) for column in zip(*cells, strict=True)]
    widths = [max(len(title), width) for title, width in zip(titles, value_widths, strict=True)]
    if max_width is None or sum(widths) + COLUMN_GAP * (len(widths) - 1) <= max_width:
        return widths
    min_widths = [max(map(len, title.split())) for title in titles]
    widths = [max(min_width, min(width, max_width)) for min_width, width in zip(min_widths, value_widths, strict=True)]
    for number, column in enumerate(zip(*cells, strict=True)):
        if number == 0 or any(_UUID_PATTERN.fullmatch(text.plain) for text in column):
            min_widths[number] = widths[number]
    while sum(widths) + COLUMN_GAP * (len(widths) - 1) > max_width:
        shrinkable = [number for number, width in enumerate(widths) if width > min_widths[number]]
        if not shrinkable:
            break
        widths[max(shrinkable, key=widths.__getitem__)] -= 1
    return widths


def format_cell(value: Any, field: str, now: datetime, *, full: bool = False) -> Text:
    """Return the text of a value on one line. `full` keeps the line breaks, and adds the absolute time."""
    text = printable(_format_value(value, field, now, full=full))
    return styled(text if full else " ".join(text.split()), COLORS.get(text, ""))


def _format_value(value: Any, field: str, now: datetime, *, full: bool) -> str:
    if value in (None, "", [], {}):
        return "-"
    match value:
        case bool() | int() | float():
            return _format_number(value, field)
        case str() if (time := _parse_time(value)) is not None:
            relative = format_relative_time(time, now)
            return f"{format_time(time)} ({relative})" if full else relative
        case list() | dict():
            return _format_compound(value, full=full)
        case _:
            return str(value)


def _parse_time(text: str) -> datetime | None:
    """Return the time; None if the string is not a time with a time zone."""
    if not _TIME_PATTERN.match(text):
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo is not None else None


def _format_number(value: float, field: str) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if field.endswith("_ms"):
        return f"{value:.3g} ms" if value < 999.5 else f"{value / 1000:.1f} s"
    return size(int(value)) if field in _BYTE_FIELDS else f"{value:.15g}"


def _format_compound(value: Any, *, full: bool) -> str:
    """Return a list of names separated by commas. Return other objects as JSON, with `full` one line per entry."""
    if full and isinstance(value, dict):
        entries = cast("Row", value).items()
        return "\n".join(f"{name}: {part if isinstance(part, str) else json.dumps(part)}" for name, part in entries)
    parts = cast("list[Any]", value) if isinstance(value, list) else [None]
    names = [part.get("name") if isinstance(part, dict) else part for part in cast("list[Row | str]", parts)]
    return ", ".join(cast("list[str]", names)) if all(isinstance(n, str) for n in names) else json.dumps(value)


def printable(text: str) -> str:
    """Return a text without characters that would control the terminal."""
    return _CONTROL_CHARACTERS.sub("\N{REPLACEMENT CHARACTER}", text)


def format_relative_time(time: datetime, now: datetime) -> str:
    """Return `3 min ago` or `in 2 h`: the past is rounded down, the future up; `now` within a second."""
    seconds = (now - time).total_seconds()
    for length, unit in _TIME_UNITS:
        if abs(seconds) >= length:
            return f"{int(seconds // length)} {unit} ago" if seconds > 0 else f"in {ceil(-seconds / length)} {unit}"
    return "now"


def format_time(time: datetime) -> str:
    """Return `2026-11-20 08:56:54` in this machine's time zone, or in UTC if the local time is after the year 9999."""
    try:
        time = time.astimezone()
    except OverflowError:  # the last hours of 9999, which some programs use for "never"
        return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return time.strftime("%Y-%m-%d %H:%M:%S")
