"""Rows of the database with invalid values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from greenroom.db.database import rows_as


@dataclass
class _Row:
    image_id: str
    run_config: dict[str, Any]


def test_a_row_with_a_value_that_does_not_fit_is_left_out():
    rows: list[dict[str, Any]] = [
        {"image_id": "good", "run_config": {}},
        {"image_id": "bad", "run_config": []},
        {"image_id": None, "run_config": {}},
        {"image_id": "also good", "run_config": {"user": "1000"}},
    ]
    assert [row.image_id for row in rows_as(_Row, rows)] == ["good", "also good"]


def test_a_statement_without_a_column_is_a_defect():
    with pytest.raises(msgspec.ValidationError, match="missing required field `run_config`"):
        rows_as(_Row, [{"image_id": "good"}])
