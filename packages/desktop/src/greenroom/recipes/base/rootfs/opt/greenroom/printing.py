"""A printer that creates PDF files in ~/Downloads and offers them to viewers.

Programs connect to it as to CUPS: the variable CUPS_SERVER names a socket of the session, on which page.py listens. The
server implements the part of the Internet Printing Protocol (IPP, RFC 8010) that a local printer needs.
"""

import asyncio
import contextlib
import os
import struct
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from files import folder, is_name, link_under_free_name
from protocol import BadRequestError, Request, body_parts
from viewers import publish

OPERATION, JOB, END, PRINTER = 1, 2, 3, 4
"""Tags of groups of attributes."""
INTEGER, BOOLEAN, ENUM, RANGE, TEXT, NAME, KEYWORD, URI, CHARSET, LANGUAGE, MIME = (
    0x21, 0x22, 0x23, 0x33, 0x41, 0x42, 0x44, 0x45, 0x47, 0x48, 0x49,
)  # fmt: skip
"""Tags of values."""

Value = int | bool | str | tuple[int, int]
Attribute = tuple[int, str, Value | list[str] | list[int]]
"""The tag, the name and the value or values of an attribute."""

PRINTED_MAX_BYTES = 1 << 30
REQUEST_TIMEOUT_S = 60
HEAD_MAX_BYTES = 1 << 18
PRINTER_URI = "ipp://localhost/printers/PDF"
PRINT_JOB, VALIDATE_JOB, CREATE_JOB, SEND_DOCUMENT, CANCEL_JOB, JOB_ATTRIBUTES, JOBS, ATTRIBUTES = (
    0x02, 0x04, 0x05, 0x06, 0x08, 0x09, 0x0A, 0x0B,
)  # fmt: skip
"""Codes of operations of IPP."""
GET_DEFAULT, GET_PRINTERS, GET_CLASSES = 0x4001, 0x4002, 0x4005
"""Codes of operations that CUPS adds."""
OK, NOT_FOUND, NOT_A_PDF, NOT_SUPPORTED, FAILED = 0x0000, 0x0406, 0x040A, 0x0501, 0x0500
"""Status codes of answers."""
COMPLETED = 9
"""A state of a job."""
DEFAULT_PRINTER, COLOR = 0x20000, 0x8
"""Flags of the attribute printer-type."""
SIZES = {"iso_a4_210x297mm": ("A4", 595, 842), "na_letter_8.5x11in": ("Letter", 612, 792), "iso_a3_297x420mm": ("A3", 842, 1191)}
"""IPP name of a paper size → its PPD name, its width and its height in points."""


class IncompleteError(Exception):
    """The request is not complete yet."""


class Operation:
    """The head of an IPP request, before the document: the code of the operation, the number of the request, the
    first value of each attribute, and the length of the head.

    Raises:
        IncompleteError: the end of the head is missing.
    """

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
        """The value of a text attribute."""
        return self.attributes.get(name, b"").decode("utf-8", "replace")


def encoded_answer(operation: Operation, status: int, groups: list[tuple[int, list[Attribute]]]) -> bytes:
    """The bytes of the answer to an operation. Each of the `groups` is its tag and its attributes."""
    first: list[Attribute] = [(CHARSET, "attributes-charset", "utf-8"), (LANGUAGE, "attributes-natural-language", "en")]
    data = bytearray(operation.version + struct.pack(">HI", status, operation.number))
    for group, attributes in [(OPERATION, first), *groups]:
        data.append(group)
        for tag, name, value in attributes:
            label = name
            for each in value if isinstance(value, list) else [value]:
                data += _encoded(tag, label, each)
                label = ""  # another value of the same attribute
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


class Printer:
    """The printer of this session. `_jobs`: number of a job → its name."""

    def __init__(self) -> None:
        self._jobs: dict[int, str] = {}
        self._begun = time.monotonic()

    async def answer_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of a program."""
        try:
            while True:
                request = Request(await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), REQUEST_TIMEOUT_S))
                if request.method == "POST":
                    if "100-continue" in request.headers.get("expect", "").lower():
                        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                    body = await self._answer(body_parts(request, reader))
                    mime, status = "application/ipp", "200 OK"
                elif request.path == "/printers/PDF.ppd":
                    body, mime, status = ppd_description(), "application/vnd.cups-ppd", "200 OK"
                else:
                    body, mime, status = b"", "text/plain", "404 Not Found"
                head = f"HTTP/1.1 {status}\r\nServer: CUPS/2.4 IPP/2.1\r\nContent-Type: {mime}\r\nContent-Length: {len(body)}"
                writer.write(head.encode() + b"\r\nConnection: keep-alive\r\n\r\n" + body)
                await writer.drain()
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError, BadRequestError):
            pass  # this program has ended its connection; the others continue
        finally:
            writer.close()

    async def _answer(self, body: AsyncIterator[bytes]) -> bytes:
        data = bytearray()
        operation = None
        async for part in body:
            data += part
            with contextlib.suppress(IncompleteError):
                operation = Operation(data)
                break
            if len(data) > HEAD_MAX_BYTES:
                raise BadRequestError("the head of the request is too long")
        if operation is None:
            raise BadRequestError("the request is not complete")
        status, groups = await self._execute(operation, bytes(data[operation.length :]), body)
        async for _ in body:
            pass  # the rest of a refused request
        return encoded_answer(operation, status, groups)

    async def _execute(
        self, operation: Operation, first_part: bytes, rest: AsyncIterator[bytes]
    ) -> tuple[int, list[tuple[int, list[Attribute]]]]:
        if operation.code in (GET_DEFAULT, GET_PRINTERS, ATTRIBUTES):
            return OK, [(PRINTER, self._attributes())]
        if operation.code == VALIDATE_JOB:
            return OK, []
        if operation.code in (PRINT_JOB, CREATE_JOB):
            number = len(self._jobs) + 1
            self._jobs[number] = operation.text("job-name") or operation.text("document-name") or "printed"
            status = await store(self._jobs[number], first_part, rest) if operation.code == PRINT_JOB else OK
            return status, [(JOB, job(number))] if status == OK else []
        number = int.from_bytes(operation.attributes.get("job-id", b""), "big")
        if operation.code == SEND_DOCUMENT:
            return (await store(self._jobs[number], first_part, rest), [(JOB, job(number))]) if number in self._jobs else (NOT_FOUND, [])
        if operation.code == JOB_ATTRIBUTES and number in self._jobs:
            return OK, [(JOB, job(number))]
        if operation.code in (JOBS, GET_CLASSES, CANCEL_JOB):
            return OK, []
        return (NOT_FOUND if operation.code == JOB_ATTRIBUTES else NOT_SUPPORTED), []

    def _attributes(self) -> list[Attribute]:
        return [
            (NAME, "printer-name", "PDF"),
            (URI, "printer-uri-supported", PRINTER_URI),
            (KEYWORD, "uri-security-supported", "none"),
            (KEYWORD, "uri-authentication-supported", "none"),
            (URI, "device-uri", "file:///dev/null"),
            (TEXT, "printer-info", "PDF in your browser"),
            (TEXT, "printer-location", ""),
            (TEXT, "printer-make-and-model", "PDF"),
            (ENUM, "printer-state", 3),
            (KEYWORD, "printer-state-reasons", "none"),
            (ENUM, "printer-type", DEFAULT_PRINTER | COLOR),
            (BOOLEAN, "printer-is-accepting-jobs", True),
            (BOOLEAN, "printer-is-shared", False),
            (BOOLEAN, "color-supported", True),
            (INTEGER, "printer-up-time", int(time.monotonic() - self._begun) + 1),
            (INTEGER, "queued-job-count", 0),
            (CHARSET, "charset-configured", "utf-8"),
            (CHARSET, "charset-supported", "utf-8"),
            (LANGUAGE, "natural-language-configured", "en"),
            (LANGUAGE, "generated-natural-language-supported", "en"),
            (KEYWORD, "ipp-versions-supported", ["1.1", "2.0", "2.1"]),
            (ENUM, "operations-supported", [2, 4, 5, 6, 8, 9, 10, 11, GET_DEFAULT, GET_PRINTERS]),
            (MIME, "document-format-supported", ["application/pdf"]),
            (MIME, "document-format-default", "application/pdf"),
            (KEYWORD, "compression-supported", "none"),
            (KEYWORD, "pdl-override-supported", "attempted"),
            (KEYWORD, "job-sheets-default", "none"),
            (KEYWORD, "job-sheets-supported", "none"),
            (KEYWORD, "media-default", next(iter(SIZES))),
            (KEYWORD, "media-supported", list(SIZES)),
            (KEYWORD, "sides-default", "one-sided"),
            (KEYWORD, "sides-supported", "one-sided"),
            (KEYWORD, "print-color-mode-default", "color"),
            (KEYWORD, "print-color-mode-supported", ["color", "monochrome"]),
            (KEYWORD, "job-creation-attributes-supported", ["copies", "media", "sides", "print-color-mode"]),
            (INTEGER, "copies-default", 1),
            (RANGE, "copies-supported", (1, 1)),
            (TEXT, "cups-version", "2.4.2"),
        ]


def job(number: int) -> list[Attribute]:
    """The attributes of a job, which is completed as soon as its document is stored."""
    return [
        (URI, "job-uri", f"ipp://localhost/jobs/{number}"),
        (INTEGER, "job-id", number),
        (ENUM, "job-state", COMPLETED),
        (KEYWORD, "job-state-reasons", "job-completed-successfully"),
    ]


async def store(name: str, first_part: bytes, rest: AsyncIterator[bytes]) -> int:
    """Store the document of a job in ~/Downloads and offer it to viewers. Return the status code of the answer. An
    incomplete document is not stored."""
    try:
        folder("Downloads").mkdir(exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder("Downloads"), prefix=".printed-") as file:
            file.write(first_part)
            size = len(first_part)
            async for part in rest:
                if size + len(part) > PRINTED_MAX_BYTES:
                    return FAILED
                file.write(part)
                size += len(part)
            file.flush()
            file.seek(0)
            if not file.read(5).startswith(b"%PDF-"):
                return NOT_A_PDF
            stored = link_under_free_name(Path(file.name), folder("Downloads") / file_name(name), folder("Downloads"))
    except OSError:
        return FAILED  # the program reports that printing failed
    publish("printed", name=stored, size_bytes=(folder("Downloads") / stored).stat().st_size)
    return OK


def file_name(job_name: str) -> str:
    """The name of the PDF file for a job with this name."""
    name = "".join(char if char.isprintable() and char != "/" else " " for char in job_name).strip(" .")[:80].strip()
    name = name.removesuffix(".pdf") or "printed"
    return f"{name}.pdf" if is_name(f"{name}.pdf") else "printed.pdf"


def ppd_description() -> bytes:
    """The description of the printer in the format PPD, for programs that do not support IPP."""
    lines = [
        '*PPD-Adobe: "4.3"', '*FormatVersion: "4.3"', '*FileVersion: "1.0"', "*LanguageVersion: English",
        "*LanguageEncoding: ISOLatin1", '*PCFileName: "PDF.PPD"', '*Manufacturer: "Greenroom"', '*Product: "(PDF)"',
        '*ModelName: "PDF"', '*ShortNickName: "PDF"', '*NickName: "PDF"', '*PSVersion: "(3010.000) 0"',
        '*LanguageLevel: "3"', "*ColorDevice: True", "*DefaultColorSpace: RGB", "*FileSystem: False",
        '*cupsVersion: 2.4', '*cupsFilter2: "application/pdf application/pdf 0 -"',
    ]  # fmt: skip
    for option, each in ("PageSize", '*{0} {1}/{1}: ""'), ("PageRegion", '*{0} {1}/{1}: ""'):
        lines += [f"*OpenUI *{option}/Page Size: PickOne", f"*OrderDependency: 10 AnySetup *{option}", f"*Default{option}: A4"]
        lines += [each.format(option, name) for name, _, _ in SIZES.values()] + [f"*CloseUI: *{option}"]
    lines += ["*DefaultImageableArea: A4", "*DefaultPaperDimension: A4"]
    for name, width, height in SIZES.values():
        lines += [f'*ImageableArea {name}: "0 0 {width} {height}"', f'*PaperDimension {name}: "{width} {height}"']
    return ("\n".join([*lines, "*DefaultFont: Courier", '*Font Courier: Standard "(002.004S)" Standard ROM', ""])).encode()


@contextlib.asynccontextmanager
async def printer(path: Path) -> AsyncIterator[None]:
    """Accept print jobs at the Unix socket `path` during the block."""
    server = await asyncio.start_unix_server(Printer().answer_connection, path, limit=HEAD_MAX_BYTES)
    os.chmod(path, 0o600)
    async with server:
        yield


