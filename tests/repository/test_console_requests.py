"""Everything that the console asks is an operation of /api/v1 that its OpenAPI document describes, with an example."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from greenroom.api.examples.document import METHODS, recorded_examples
from greenroom.api.openapi import document

SOURCES: Final = sorted((Path(__file__).parents[2] / "web/src").rglob("*.ts*"))
CALL: Final = re.compile(r"\bclient\s*\.(GET|PUT|POST|PATCH|DELETE)\(\s*(?:'([^']+)'|`([^`]+)`|([A-Z_]+)\b)")
CONSTANT: Final = re.compile(r"const ([A-Z_]+) = '(/api/[^']+)'")
PLACE: Final = re.compile(r"\$\{(\w+)\}")
STREAM: Final = re.compile(r"new EventSource\('([^']+)'")
OTHERS: Final = {
    "web/src/api/client.ts": "the next page of a list, whose address the answer names",
    "web/src/api/roundTrips.ts": "how far a gateway is: it answers itself",
}
"""Where something else is fetched, and what."""


def requests_of(source: str) -> list[str]:
    """`GET /api/v1/…` of each request in a file."""
    constants = dict(CONSTANT.findall(source))
    found = [
        f"{method} {plain or constants.get(name) or PLACE.sub(lambda place: constants[place[1]], template)}"
        for method, plain, template, name in CALL.findall(source)
    ]
    return found + [f"GET {path}" for path in STREAM.findall(source)]


def test_every_request_of_the_console_is_in_the_document():
    described = {
        f"{method.upper()} {path}": operation["operationId"]
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()
        if method in METHODS
    }
    asked = {(request, file) for file in SOURCES for request in requests_of(file.read_text())}
    assert len(asked) > 100
    assert not [f"{file.name}: {request}" for request, file in asked if request not in described]
    assert not [request for request, _ in asked if described[request] not in recorded_examples()]


def test_no_request_of_the_console_goes_unseen():
    for file in SOURCES:
        source, name = file.read_text(), str(file.relative_to(Path(__file__).parents[2]))
        assert len(re.findall(r"\bclient\s*\.[A-Z]+\(", source)) == len(CALL.findall(source)), name
        elsewhere = re.search(r"\bfetch\(|XMLHttpRequest|sendBeacon|axios", source)
        assert (elsewhere is None) == (name not in OTHERS), name
