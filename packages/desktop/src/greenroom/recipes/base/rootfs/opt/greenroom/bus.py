"""A client of the session's D-Bus, with the part of the protocol that desk_tree.py needs to read the accessibility
tree.

`serve_registry` answers as the AT-SPI registry, the list of the programs with an accessibility tree. GTK programs call
the registry when they start, and write warnings to their terminal if it does not answer. The registry here stays empty,
because desk_tree.py asks the programs directly.
"""

import asyncio
import os
import struct
from collections.abc import Callable
from typing import Any

CONNECT_TIMEOUT_S = 2.0
CALL_TIMEOUT_S = 1.0
MAX_MESSAGE_BYTES = 1 << 24
"""The size limit of a message."""
CALL, RETURN, ERROR = 1, 2, 3
"""Types of messages."""
PATH, INTERFACE, MEMBER, ERROR_NAME, REPLY_SERIAL, DESTINATION, SENDER, SIGNATURE = 1, 2, 3, 4, 5, 6, 7, 8
"""Codes of the header fields of a message."""
NO_REPLY = 1
"""The flag of a call that needs no answer."""
UNKNOWN_METHOD = "org.freedesktop.DBus.Error.UnknownMethod"
STRUCT_FORMATS = {"y": "B", "b": "I", "n": "h", "q": "H", "i": "i", "u": "I", "x": "q", "t": "Q", "d": "d"}
"""D-Bus type → format of the module struct."""
BUS_NAME = "org.freedesktop.DBus"
REGISTRY = "org.a11y.atspi.Registry"
REGISTRY_ROOT = "/org/a11y/atspi/accessible/root"
DO_NOT_QUEUE = 4
"""The flag of RequestName: do not wait for the name if it has an owner."""
RECONNECT_PAUSE_S = 0.1
EMPTY_ARRAY = bytes(8)
EMPTY_LISTS = {"GetRegisteredEvents": "a(ss)", "GetKeystrokeListeners": "a(souua(iisi)u(bbb))", "GetDeviceEventListeners": "a(souua(iisi)u(bbb))"}
"""Method of the registry → the signature of its answer, an empty list."""


class BusError(Exception):
    """A program refused a call, or did not answer it."""


class Bus:
    """A connection to the bus, created by `connect`. `name` is the name of the connection on the bus."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.name = ""
        self.on_call: Callable[[Any], tuple[str, bytes] | None] = lambda member: None
        """Returns the signature and the body of the answer to a call of the method; None if the method is unknown."""
        self._serial = 0
        self._waiting: dict[int, asyncio.Future[list[Any]]] = {}
        self._reading = asyncio.create_task(self._read(), name="D-Bus")

    async def close(self) -> None:
        """Close the connection."""
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        self._writer.close()

    async def ended(self) -> None:
        """Wait until the bus closes the connection."""
        await asyncio.wait({self._reading})
        self._writer.close()

    async def call(self, to: str, path: str, interface: str, member: str, signature: str = "", *values: Any) -> list[Any]:
        """Call a method and return its results.

        Raises:
            BusError: the call was refused, or not answered within `CALL_TIMEOUT_S`.
        """
        self._serial += 1
        serial, future = self._serial, asyncio.get_running_loop().create_future()
        self._waiting[serial] = future
        try:
            self._writer.write(message(serial, to, path, interface, member, signature, values))
            await self._writer.drain()
            async with asyncio.timeout(CALL_TIMEOUT_S):
                return await future
        except (TimeoutError, OSError) as error:
            raise BusError(f"{to} does not answer") from error
        finally:
            self._waiting.pop(serial, None)

    async def _read(self) -> None:
        try:
            while True:
                head = await self._reader.readexactly(16)
                order = "<" if head[:1] == b"l" else ">"
                size, serial, fields = struct.unpack_from(f"{order}III", head, 4)
                padding = -fields % 8
                if size + fields > MAX_MESSAGE_BYTES:
                    raise BusError("a message is too long")
                data = head + await self._reader.readexactly(fields + padding + size)
                if data[1] == CALL:
                    self._answer(serial, MessageReader(data, order), expected=not data[2] & NO_REPLY)
                else:
                    self._process_answer(data[1], MessageReader(data, order))
        except (OSError, EOFError, ValueError, struct.error, BusError) as error:
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(BusError(f"the session's bus has ended: {error}"))

    def _answer(self, call: int, reader: "MessageReader", *, expected: bool) -> None:
        reader.at = 12
        fields = dict(reader.value("a(yv)"))
        result = self.on_call(fields.get(MEMBER))
        if expected:
            self._serial += 1
            self._writer.write(answer(self._serial, call, fields.get(SENDER, ""), result))

    def _process_answer(self, kind: int, reader: "MessageReader") -> None:
        reader.at = 12
        fields = dict(reader.value("a(yv)"))
        reader.align(8)
        future = self._waiting.get(fields.get(REPLY_SERIAL, 0))
        if future is None or future.done():
            return
        try:
            values = reader.values(fields.get(SIGNATURE, ""))
        except (ValueError, IndexError, struct.error, RecursionError) as error:
            future.set_exception(BusError(f"the answer cannot be read: {error}"))
            return
        if kind == RETURN:
            future.set_result(values)
        else:
            future.set_exception(BusError(str(values[0]) if values else "an error"))


async def connect() -> Bus:
    """Connect to the session's bus.

    Raises:
        BusError: there is no bus.
    """
    address = os.environ.get("DBUS_SESSION_BUS_ADDRESS", "").partition("unix:path=")[2].partition(",")[0]
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            reader, writer = await asyncio.open_unix_connection(address)
            writer.write(b"\0AUTH EXTERNAL %s\r\n" % str(os.getuid()).encode().hex().encode())
            if not (await reader.readline()).startswith(b"OK"):
                raise BusError("the session's bus refused the connection of the page")
            writer.write(b"BEGIN\r\n")
    except (OSError, TimeoutError) as error:
        raise BusError("the session's bus does not answer") from error
    bus = Bus(reader, writer)
    try:
        (bus.name,) = await bus.call(BUS_NAME, "/org/freedesktop/DBus", BUS_NAME, "Hello")
    except BaseException:
        await bus.close()
        raise
    return bus


def message(serial: int, to: str, path: str, interface: str, member: str, signature: str, values: tuple[Any, ...]) -> bytes:
    """The bytes of a call of the method `member`. The `values` of the arguments are strings and integers."""
    body = MessageWriter()
    for kind, value in zip(signature, values, strict=True):
        body.append(kind, value)
    fields = MessageWriter(16)
    for code, kind, text in ((PATH, "o", path), (INTERFACE, "s", interface), (MEMBER, "s", member), (DESTINATION, "s", to)):
        fields.field(code, kind, text)
    if signature:
        fields.field(SIGNATURE, "g", signature)
    return message_bytes(CALL, serial, fields, bytes(body.data))


def answer(serial: int, call: int, to: str, result: tuple[str, bytes] | None) -> bytes:
    """The bytes of the answer to the call with the serial number `call`. `result`: the signature and the body; None if
    the method is unknown."""
    fields = MessageWriter(16)
    fields.field(REPLY_SERIAL, "u", call)
    fields.field(DESTINATION, "s", to)
    if result is None:
        fields.field(ERROR_NAME, "s", UNKNOWN_METHOD)
        return message_bytes(ERROR, serial, fields, b"")
    fields.field(SIGNATURE, "g", result[0])
    return message_bytes(RETURN, serial, fields, result[1])


def message_bytes(kind: int, serial: int, fields: "MessageWriter", body: bytes) -> bytes:
    """The bytes of a message of the type `kind` with these header fields and this body."""
    length = len(fields.data)
    fields.align(8)
    return struct.pack("<BBBBIII", ord("l"), kind, 0, 1, len(body), serial, length) + bytes(fields.data) + body


class MessageWriter:
    """Writes values into a part of a message. `before` bytes of the message precede the part."""

    def __init__(self, before: int = 0) -> None:
        self.data = bytearray()
        self._before = before

    def align(self, to: int) -> None:
        """Pad to a multiple of `to`."""
        self.data += bytes(-(self._before + len(self.data)) % to)

    def append(self, kind: str, value: Any) -> None:
        """Append a value of the basic D-Bus type `kind`."""
        if kind == "g":
            self.data += bytes([len(value)]) + value.encode() + b"\0"
        elif kind in "so":
            text = value.encode()
            self.align(4)
            self.data += struct.pack("<I", len(text)) + text + b"\0"
        else:
            self.align(struct.calcsize(STRUCT_FORMATS[kind]))
            self.data += struct.pack(f"<{STRUCT_FORMATS[kind]}", value)

    def field(self, code: int, kind: str, value: Any) -> None:
        """Append a header field: the value has the type `kind`."""
        self.align(8)
        self.data += bytes([code, 1]) + kind.encode() + b"\0"
        self.append(kind, value)


class MessageReader:
    """Reads the values of a message from the position `at` on. `order` is the byte order, "<" or ">"."""

    def __init__(self, data: bytes, order: str) -> None:
        self._data = data
        self._order = order
        self.at = 0

    def align(self, to: int) -> None:
        """Skip the padding, up to a multiple of `to`."""
        self.at += -self.at % to

    def values(self, signature: str) -> list[Any]:
        """Read one value for each type of the signature."""
        return [self.value(kind) for kind in types(signature)]

    def value(self, kind: str) -> Any:
        """Read the next value, of the complete type `kind`."""
        first = kind[0]
        if first in STRUCT_FORMATS:
            size = struct.calcsize(STRUCT_FORMATS[first])
            self.align(size)
            (value,) = struct.unpack_from(self._order + STRUCT_FORMATS[first], self._data, self.at)
            self.at += size
            return bool(value) if first == "b" else value
        if first in "so":
            return self._text(self.value("u"))
        if first == "g":
            return self._text(self.value("y"))
        if first == "v":
            return self.value(self.value("g"))
        if first in "({":
            self.align(8)
            return tuple(self.values(kind[1:-1]))
        return self._array(kind[1:])

    def _text(self, length: int) -> str:
        begin, self.at = self.at, self.at + length + 1
        return self._data[begin : begin + length].decode(errors="replace")

    def _array(self, kind: str) -> list[Any]:
        end = self.value("u")
        self.align(8 if kind[0] in "({xtd" else struct.calcsize(STRUCT_FORMATS.get(kind[0], "I")) if kind[0] not in "gv" else 1)
        end += self.at
        found = []
        while self.at < end:
            found.append(self.value(kind))
        return found


def types(signature: str) -> list[str]:
    """Split a signature into its complete types.

    Raises:
        ValueError: the signature is invalid.
    """
    found, at = [], 0
    while at < len(signature):
        begin = at
        while signature[at : at + 1] == "a":
            at += 1
        at = index_after_bracket(signature, at) if signature[at : at + 1] in ("(", "{") else at + 1
        if at > len(signature):
            raise ValueError("invalid signature: an array without a type")
        found.append(signature[begin:at])
    return found


def index_after_bracket(signature: str, at: int) -> int:
    """The index after the bracket that closes the bracket at `at`."""
    depth = 0
    for index in range(at, len(signature)):
        depth += (signature[index] in "({") - (signature[index] in ")}")
        if depth == 0:
            return index + 1
    raise ValueError("invalid signature: a bracket is not closed")


async def serve_registry() -> None:
    """Answer calls to the AT-SPI registry until the session ends."""
    while True:
        try:
            connection = await connect()
            connection.on_call = lambda member: registry_answer(connection, member)
            await connection.call(BUS_NAME, "/org/freedesktop/DBus", BUS_NAME, "RequestName", "su", REGISTRY, DO_NOT_QUEUE)
            await connection.ended()
        except BusError:
            await asyncio.sleep(RECONNECT_PAUSE_S)  # the bus may still be starting


def registry_answer(connection: Bus, member: Any) -> tuple[str, bytes] | None:
    """The signature and the body of the registry's answer to a call of `member`; None if the method is unknown."""
    if member == "Embed":
        body = MessageWriter()
        body.append("s", connection.name)
        body.append("o", REGISTRY_ROOT)
        return "(so)", bytes(body.data)
    return (EMPTY_LISTS[member], EMPTY_ARRAY) if member in EMPTY_LISTS else None
