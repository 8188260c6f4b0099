"""Lists in pages: `?limit=&cursor=`, and a `Link` header with the next page (RFC 8288).

The server can also order (`?sort=`), filter (`?q=`) and count (`?count=`) long lists.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, TypeVar, cast

from fastapi import Depends, Query, Request, Response

from greenroom.core.errors import Invalid
from greenroom.core.listing import SortOrder, in_cursor, may_be_hashed
from greenroom.db.database import Database
from greenroom.db.listing import Conditions, ListDefinition, ListPage, Position, Total

MAX_LIMIT: Final = 1000

T = TypeVar("T")


class Page:
    """The requested page. `after` is the key of the last row of the previous page; None = the first page."""

    def __init__(self, request: Request, response: Response, limit: int, cursor: str | None) -> None:
        self.limit = limit
        self.after = _decode_cursor(cursor) if cursor else None
        self._request = request
        self._response = response

    def after_key(self, length: int) -> list[str | None]:
        """Return `after` as a list of `length` strings, all None on the first page. Raises Invalid: the cursor belongs
        to another list."""
        if self.after is None:
            return [None] * length
        if len(self.after) != length or not all(isinstance(part, str) and "\0" not in part for part in self.after):
            raise Invalid("The cursor does not belong to this list.")
        return cast("list[str | None]", self.after)

    def after_row(self, order: SortOrder) -> Position | None:
        """Return the last row of the previous page in a list whose order the client can set; None on the first page.
        Raises Invalid: the cursor belongs to another list or order."""
        sort_order, value, key = self.after_key(3)
        if value is None or key is None:
            return None
        if sort_order != str(order):
            raise Invalid("The cursor is from another order of this list; begin with the first page.")
        return Position(value, key)

    def set_total(self, total: Total) -> None:
        """Set the number of rows on all pages. `10000+` is a lower bound."""
        self._response.headers["X-Total-Count"] = str(total)

    async def read(
        self,
        db: Database,
        definition: ListDefinition[T],
        conditions: Conditions | None = None,
        order: SortOrder | None = None,
    ) -> list[T]:
        """Return the rows of this page of a list; `order` None = the default order of the list."""
        order = order or definition.order
        found = await definition.read(db, conditions, order=order, after=self.after_row(order), limit=self.limit)
        return self.rows(found, order)

    def rows(self, page: ListPage[T], order: SortOrder) -> list[T]:
        """Return the rows of a page that was read from the database. If more rows follow, the `Link` header gets the
        address of the next page."""
        if page.end is not None:
            self._link_next([str(order), page.end.value, page.end.key])
        return page.rows

    def _link_next(self, key: Sequence[str | int]) -> None:
        address = self._request.url.include_query_params(limit=self.limit, cursor=_encode_cursor(key))
        self._response.headers["Link"] = f'<{address.path}?{address.query}>; rel="next"'

    def slice(self, rows: Sequence[T], key: Callable[[T], Sequence[str]]) -> list[T]:
        """Return the page of a list that was read as a whole, ordered by `key`, which is unique.

        This is for short lists, such as the zones, Managers or gateways of an installation.
        """
        ordered = sorted(rows, key=lambda row: list(key(row)))
        remaining = ordered
        if rows and self.after:
            after = cast("list[str]", self.after_key(len(key(rows[0]))))
            positions = [[in_cursor(part) for part in key(row)] for row in ordered]
            if after in positions:
                remaining = ordered[positions.index(after) + 1 :]
            elif any(map(may_be_hashed, after)):
                raise Invalid("The last row of the previous page was deleted or changed; begin with the first page.")
            else:
                remaining = [row for row in ordered if list(key(row)) > after]
        if len(remaining) > self.limit:
            self._link_next([in_cursor(part) for part in key(remaining[self.limit - 1])])
        return remaining[: self.limit]


async def _page(
    request: Request,
    response: Response,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="maximum number of rows")] = MAX_LIMIT,
    cursor: Annotated[str | None, Query(description="cursor from the Link header of the previous page")] = None,
) -> Page:
    return Page(request, response, limit, cursor)


Paging = Annotated[Page, Depends(_page)]
MAX_SEARCH: Final = 1000
"""Maximum characters of a search: the `Link` header, which repeats it, must fit into a buffer of the gateway."""
Search = Annotated[
    str,
    Query(
        alias="q", max_length=MAX_SEARCH, description="only rows with all these words; `zone:eu` searches one column"
    ),
]
Sorting = Annotated[str, Query(alias="sort", description="column; with - in front for descending order")]
Counting = Annotated[
    bool,
    Query(
        alias="count", description="return the number of rows of all pages in X-Total-Count; 10000+ = at least 10,000"
    ),
]


def _encode_cursor(key: Sequence[str | int]) -> str:
    return base64.urlsafe_b64encode(json.dumps(list(key), ensure_ascii=False).encode()).decode().rstrip("=")


def _decode_cursor(cursor: str) -> list[Any]:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        value = json.loads(text)
    except (ValueError, binascii.Error, RecursionError) as error:
        raise Invalid("The cursor cannot be read; take it from the Link header.") from error
    if not isinstance(value, list):
        raise Invalid("The cursor cannot be read; take it from the Link header.")
    return cast("list[Any]", value)
