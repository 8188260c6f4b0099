"""Call every route of a running api with generated parameters and bodies, as its two OpenAPI documents describe them.

This is a separate program: `python -m tests.database.api.explore ADDRESS KEY SECRET` prints the routes it called.
Inside pytest the library's modules would be processed by the rewriting of assertions, in the thread that imports them
first. Some releases of CPython then sometimes fail with "AST constructor recursion depth mismatch" (CPython issue
106905).

The calls are the same in every run and continue after a failure: every route that violates its description is reported
at the end.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, Final

import hypothesis
import schemathesis
from hypothesis import HealthCheck
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

DOCUMENTS: Final = ("/api/v1/openapi.json", "/api/public/openapi.json")
NOT_CALLED: Final = {
    "GET /api/v1/events": "an event stream has no end",
}
"""Operations that cannot be called here, with the reason."""
HEALTH_CHECKS: Final = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
"""Hypothesis' health checks: their findings are no defects of the api."""
CHECKS: Final = [not_a_server_error, response_schema_conformance, status_code_conformance, content_type_conformance]
EXAMPLES: Final = 6
"""The number of calls of each operation."""


def operations(address: str) -> Iterable[Any]:
    """The callable operations of both documents, readers first, so that changes by writers do not affect them."""
    found = [
        result.ok()
        for document in DOCUMENTS
        for result in schemathesis.openapi.from_url(f"{address}{document}").get_all_operations()
        if isinstance(result, Ok)
    ]
    return sorted((one for one in found if one.label not in NOT_CALLED), key=lambda one: one.method.upper() != "GET")


def explore(operation: Any, key: tuple[str, str]) -> str | None:
    """Call an operation with generated parameters; returns the violations."""

    @hypothesis.settings(
        max_examples=EXAMPLES, database=None, deadline=None, derandomize=True, suppress_health_check=HEALTH_CHECKS
    )
    @hypothesis.given(case=operation.as_strategy())
    def conforms(case: Any) -> None:
        answer = case.call(auth=key)
        case.validate_response(answer, checks=CHECKS)

    try:
        conforms()
    except (FailureGroup, AssertionError) as failure:
        return f"{operation.label}: {failure}\n{getattr(failure, 'exceptions', '')}"
    return None


def main(address: str, key: tuple[str, str]) -> int:
    """Print the called operations; returns 1 if one violates its description."""
    wrong: list[str] = []
    for operation in operations(address):
        sys.stdout.write(f"{operation.label}\n")
        wrong += filter(None, [explore(operation, key)])
    sys.stderr.write("\n\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], (sys.argv[2], sys.argv[3])))
