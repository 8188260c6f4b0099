"""Requests and answers of the Internet Printing Protocol (RFC 8010): as much of it as a printer on this host needs."""

import struct

OPERATION, JOB, END, PRINTER = 1, 2, 3, 4
"""Tags of groups."""
INTEGER, BOOLEAN, ENUM, RANGE, TEXT, NAME, KEYWORD, URI, CHARSET, LANGUAGE, MIME = (
    0x21, 0x22, 0x23, 0x33, 0x41, 0x42, 0x44, 0x45, 0x47, 0x48, 0x49,
)  # fmt: skip
"""Tags of values."""

Value = int | bool | str | tuple[int, int]
Attribute = tuple[int, str, Value | list[str] | list[int]]


class IncompleteError(Exception):
    """More of the request is to come."""


class Operation:
    """A request without its document: operation, number, attributes (the first value of each), and its length."""

    def __init__(self, data: bytes | bytearray) -> None:
        if len(data) < 8:
            raise IncompleteError
        self.version, self.code, self.number = bytes(data[:2]), *struct.unpack_from(">HI", data, 2)
        self.attributes: dict[str, bytes] = {}
        at = 8
        while True:
            tag, at = self._read(data, at, 1)[0], at + 1
            if tag == END:
                break
            if tag < 0x10:
                continue
            name, at = self._text(data, at)
            value, at = self._text(data, at)
            if name:
                self.attributes.setdefault(name.decode("utf-8", "replace"), value)
        self.length = at

    @classmethod
    def _text(cls, data: bytes | bytearray, at: int) -> tuple[bytes, int]:
        (length,) = struct.unpack(">H", cls._read(data, at, 2))
        return cls._read(data, at + 2, length), at + 2 + length

    @staticmethod
    def _read(data: bytes | bytearray, at: int, length: int) -> bytes:
        if len(data) < at + length:
            raise IncompleteError
        return bytes(data[at : at + length])

    def text(self, name: str) -> str:
        """An attribute that is text."""
        return self.attributes.get(name, b"").decode("utf-8", "replace")


def answered(operation: Operation, status: int, groups: list[tuple[int, list[Attribute]]]) -> bytes:
    """The answer to an operation."""
    first: list[Attribute] = [(CHARSET, "attributes-charset", "utf-8"), (LANGUAGE, "attributes-natural-language", "en")]
    data = bytearray(operation.version + struct.pack(">HI", status, operation.number))
    for group, attributes in [(OPERATION, first), *groups]:
        data.append(group)
        for tag, name, value in attributes:
            label = name
            for each in value if isinstance(value, list) else [value]:
                data += _encoded(tag, label, each)
                label = ""  # a further value of the same attribute
    data.append(END)
    return bytes(data)


def _encoded(tag: int, name: str, value: Value) -> bytes:
    if isinstance(value, bool):
        raw = bytes([value])
    elif isinstance(value, int):
        raw = struct.pack(">i", value)
    elif isinstance(value, tuple):
        raw = struct.pack(">ii", *value)
    else:
        raw = value.encode()
    return struct.pack(">BH", tag, len(name)) + name.encode() + struct.pack(">H", len(raw)) + raw
