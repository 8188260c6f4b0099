"""Call every reading route of a running api with generated parameters, as the OpenAPI document describes them.

A program of its own: `python -m tests.database.api.explore ADDRESS KEY SECRET` prints the routes it called. Inside
pytest the library's modules would go through the rewriting of assertions, in the thread that imports them first. Some
releases of CPython then fail now and then with "AST constructor recursion depth mismatch" (CPython issue 106905).
"""

from __future__ import annotations

import sys
from typing import Any

import hypothesis
import schemathesis
from hypothesis import HealthCheck
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

HEALTH_CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
"""Of Hypothesis: what they find is no defect of the api."""
CHECKS = [not_a_server_error, response_schema_conformance, status_code_conformance, content_type_conformance]


def explore(address: str, key: tuple[str, str]) -> list[str]:
    """Call every GET route with generated parameters; returns the routes called."""
    schema = schemathesis.openapi.from_url(f"{address}/api/v1/openapi.json")
    called: list[str] = []
    for result in schema.include(method="GET").get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()
        if operation.path == "/api/v1/events":
            continue

        @hypothesis.settings(max_examples=6, database=None, deadline=None, suppress_health_check=HEALTH_CHECKS)
        @hypothesis.given(case=operation.as_strategy())
        def conforms(case: Any) -> None:
            answer = case.call(auth=key)
            case.validate_response(answer, checks=CHECKS)

        conforms()
        called.append(operation.path)
    return called


if __name__ == "__main__":
    sys.stdout.write("\n".join(explore(sys.argv[1], (sys.argv[2], sys.argv[3]))) + "\n")
