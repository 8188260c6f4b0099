"""The accessibility tree: the elements of the windows in the session, for programs that do not use screenshots.

    GET  desk/tree?ref=REF&depth=N&max=N&all   {"elements": [element, …], "left_out": N}
    POST desk/tree  {"refs": [REF, …]}         {"places": {REF: [x, y, width, height] or a sentence, …}}

Each program with GTK 3 provides its own tree on the session's D-Bus (AT_SPI_BUS_ADDRESS). No other process is needed.
The tree does not contain elements of other toolkits and web pages; programs read web pages with DevTools.
"""

import asyncio
import json
import re
from dataclasses import dataclass, field
from typing import Any

import bus
from bus import Bus, BusError
from protocol import CONNECTION_CLOSE, RefusedError, Request, body, refuse_error, reply

MAX_BODY_BYTES = 1 << 16
MAX_ELEMENTS, MAX_DEPTH, MAX_CHILDREN, MAX_REFS = 1000, 60, 250, 100
READ_TIMEOUT_S = 10.0
ATSPI = "org.a11y.atspi."
ACCESSIBLE, COMPONENT, TEXT = (ATSPI + name for name in ("Accessible", "Component", "Text"))
PROPERTIES = "org.freedesktop.DBus.Properties"
FOLDER = "/org/a11y/atspi/accessible/"
ROOT = "root"
SCREEN = 0
"""The coordinate type of positions relative to the screen."""
TEXT_CHARACTERS = 2000
"""The maximum number of characters of an element's text that are read."""
STATES = {
    1: "active", 4: "checked", 7: "editable", 9: "expandable", 10: "expanded", 11: "focusable", 12: "focused", 16: "modal",
    17: "multi-line", 20: "pressed", 22: "selectable", 23: "selected", 32: "indeterminate", 33: "required", 41: "checkable",
    43: "read-only",
}  # fmt: skip
"""The number of an AT-SPI state → its name in answers. Other states are left out."""
ENABLED, SENSITIVE, SHOWING = 8, 24, 25
GONE = "Element {ref} no longer exists; read the tree again."
HIDDEN = "Element {ref} is not on the screen now."


@dataclass(frozen=True)
class Element:
    """An element of a program: the program's connection on the bus, and the last part of the element's object path."""

    connection: str
    name: str

    @property
    def ref(self) -> str:
        """The reference to the element in requests and answers."""
        return f"{self.connection.removeprefix(':')}-{self.name}"

    @property
    def path(self) -> str:
        """The object path of the element on the bus."""
        return FOLDER + self.name


def element_of(ref: str) -> Element:
    """Parse a reference.

    Raises:
        RefusedError: the text is not a reference.
    """
    found = re.fullmatch(r"(\d{1,9}\.\d{1,9})-(root|\d{1,20})", ref, re.ASCII)
    if not found:
        raise RefusedError("400 Bad Request", f"ref: {ref[:60]!r} is not a reference to an element; the tree contains the references.")
    return Element(f":{found[1]}", found[2])


@dataclass
class Tree:
    """Reads elements from the bus. `remaining` is the number of elements that may still be read, `left_out` counts the
    elements that were not read, and `everything` includes elements that are not visible."""

    bus: Bus
    remaining: int = MAX_ELEMENTS
    everything: bool = False
    left_out: int = 0
    call_limit: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(32))

    async def ask(self, element: Element, interface: str, member: str, signature: str = "", *values: Any) -> Any:
        """Call a method of an element and return its only result."""
        async with self.call_limit:
            return (await self.bus.call(element.connection, element.path, interface, member, signature, *values))[0]

    async def programs(self) -> list[Element]:
        """The root elements of all programs with an accessibility tree."""
        (names,) = await self.bus.call(bus.BUS_NAME, "/org/freedesktop/DBus", bus.BUS_NAME, "ListNames")
        roots = [Element(name, ROOT) for name in names if name.startswith(":") and name != self.bus.name]
        found = await asyncio.gather(*map(self.children_of, roots), return_exceptions=True)
        return [root for root, children in zip(roots, found, strict=True) if isinstance(children, list) and children]

    async def children_of(self, element: Element) -> list[Element]:
        """The direct children of an element, at most `MAX_CHILDREN`; the others are counted in `left_out`."""
        (count,) = await self.bus.call(element.connection, element.path, PROPERTIES, "Get", "ss", ACCESSIBLE, "ChildCount")
        if count <= MAX_CHILDREN:
            found = await self.ask(element, ACCESSIBLE, "GetChildren")
        else:  # a table can have a million rows, each an element
            self.left_out += count - MAX_CHILDREN
            indices = range(MAX_CHILDREN)
            found = await asyncio.gather(*(self.ask(element, ACCESSIBLE, "GetChildAtIndex", "i", index) for index in indices))
        return [Element(connection, path.rpartition("/")[2]) for connection, path in found if path.startswith(FOLDER)]

    async def states_of(self, element: Element) -> set[int]:
        """The numbers of an element's states."""
        words = await self.ask(element, ACCESSIBLE, "GetState")
        return {32 * index + bit for index, word in enumerate(words) for bit in range(32) if word >> bit & 1}

    async def place_of(self, element: Element) -> list[int]:
        """The rectangle of an element on the screen: x, y, width, height."""
        return list(await self.ask(element, COMPONENT, "GetExtents", "u", SCREEN))

    async def read(self, element: Element, depth: int) -> dict[str, Any] | None:
        """The description of an element, with its descendants down to `depth`; None if the element no longer exists, is
        not visible, or exceeds `remaining`."""
        try:
            states = await self.states_of(element)
            if element.name != ROOT and SHOWING not in states and not self.everything:
                return None
            if self.remaining <= 0:
                self.left_out += 1
                return None
            self.remaining -= 1
            description = await self.describe(element, states)
            if depth > 0:
                children = await self.children_of(element)
                descriptions = await asyncio.gather(*(self.read(child, depth - 1) for child in children))
                description["children"] = [child for child in descriptions if child]
        except BusError:
            return None
        return description

    async def describe(self, element: Element, states: set[int]) -> dict[str, Any]:
        """The description of an element, without its children."""
        properties, role, interfaces = await asyncio.gather(
            self.ask(element, PROPERTIES, "GetAll", "s", ACCESSIBLE),
            self.ask(element, ACCESSIBLE, "GetRoleName"),
            self.ask(element, ACCESSIBLE, "GetInterfaces"),
        )
        properties = dict(properties)
        description: dict[str, Any] = {"ref": element.ref, "role": role, "name": properties.get("Name", "")}
        if properties.get("Description"):
            description["description"] = properties["Description"]
        if element.name != ROOT:
            description["states"] = [name for number, name in STATES.items() if number in states]
            if not states & {ENABLED, SENSITIVE}:
                description["states"].append("disabled")
        if COMPONENT in interfaces and element.name != ROOT:
            place = await self.place_of(element)
            description |= {"place": place} if place[2] > 0 and place[3] > 0 else {}
        if TEXT in interfaces and role != "password text":
            description["text"] = await self.ask(element, TEXT, "GetText", "ii", 0, TEXT_CHARACTERS)
            if description["text"] == description["name"]:
                del description["text"]
        return description


async def answer(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a request for the tree."""
    try:
        if request.method not in ("GET", "POST"):
            raise RefusedError("405 Method Not Allowed", "Use GET or POST.")
        request_body = await body(request, reader, MAX_BODY_BYTES)
        connection = await bus.connect()
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                tree = Tree(connection)
                content = await (
                    places(tree, refs_of(request_body)) if request.method == "POST" else elements(tree, request)
                )
        finally:
            await connection.close()
        reply(writer, "200 OK", json.dumps(content).encode(), "application/json", CONNECTION_CLOSE)
    except TimeoutError:
        await refuse_error(RefusedError("503 Service Unavailable", "The programs of the session do not answer at the moment."), writer)
    except BusError as error:
        await refuse_error(RefusedError("503 Service Unavailable", f"The accessibility tree is not available at the moment: {error}."), writer)
    except Exception as error:
        await refuse_error(error, writer)


async def elements(tree: Tree, request: Request) -> dict[str, Any]:
    """The elements that a request selects."""
    ref = request.query.get("ref", "")
    tree.remaining = number(request, "max", MAX_ELEMENTS)
    tree.everything = "all" in request.query
    tops = [element_of(ref)] if ref else await tree.programs()
    descriptions = [await tree.read(top, number(request, "depth", MAX_DEPTH)) for top in tops]
    if ref and not descriptions[0] and isinstance(reason := await place(tree, tops[0]), str):
        raise RefusedError("404 Not Found", reason)
    return {"elements": [each for each in descriptions if each], "left_out": tree.left_out}


def number(request: Request, name: str, maximum: int) -> int:
    """The number `name` of the query, from 0 to `maximum`; `maximum` if it is missing."""
    text = request.query.get(name, str(maximum))
    if not text.isascii() or not text.isdecimal() or int(text) > maximum:
        raise RefusedError("400 Bad Request", f"{name}: must be a number from 0 to {maximum}.")
    return int(text)


def refs_of(data: bytes) -> list[str]:
    """Parse the references of a request.

    Raises:
        RefusedError: the body does not contain a valid list of references.
    """
    try:
        refs = json.loads(data)["refs"]
    except (ValueError, KeyError, TypeError) as error:
        raise RefusedError("400 Bad Request", 'refs: is missing; the request is {"refs": ["…"]}.') from error
    if not isinstance(refs, list) or len(refs) > MAX_REFS or not all(isinstance(ref, str) for ref in refs):
        raise RefusedError("400 Bad Request", f"refs: must be a list of at most {MAX_REFS} strings.")
    return refs


async def places(tree: Tree, refs: list[str]) -> dict[str, Any]:
    """The current rectangle of each element on the screen, or the reason why the element has none."""
    return {"places": {ref: await place(tree, element_of(ref)) for ref in refs}}


async def place(tree: Tree, element: Element) -> list[int] | str:
    """The rectangle of an element on the screen, or the reason why the element has none."""
    try:
        if SHOWING in await tree.states_of(element):
            found = await tree.place_of(element)
            if found[2] > 0 and found[3] > 0:
                return found
        return HIDDEN.format(ref=element.ref)
    except BusError:
        return GONE.format(ref=element.ref)


async def grab_focus(ref: str) -> str:
    """Give the keyboard focus to an element. Return an empty string, or the reason of a failure."""
    try:
        element, connection = element_of(ref), await bus.connect()
    except (RefusedError, BusError) as error:
        return str(error.args[-1]).rstrip(".")
    try:
        has_focus = await Tree(connection).ask(element, COMPONENT, "GrabFocus")
        return "" if has_focus else f"element {ref} does not accept the keyboard focus"
    except BusError:
        return GONE.format(ref=ref).rstrip(".")
    finally:
        await connection.close()
