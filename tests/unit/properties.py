"""Check a property of one function, and that the property rejects a wrong one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

Property = Callable[[Callable[..., Any], Any], None]


def holds(check: Property, subject: Callable[..., Any], values: st.SearchStrategy[Any]) -> None:
    """`check(subject, value)` for many values."""

    @settings(max_examples=300, deadline=None)
    @given(values)
    def run(value: Any) -> None:
        check(subject, value)

    run()


def catches(check: Property, mutant: Callable[..., Any], values: st.SearchStrategy[Any]) -> None:
    """The property must fail for this wrong implementation, with the same values in every run."""

    @settings(max_examples=2000, deadline=None, database=None, derandomize=True, phases=[Phase.generate])
    @given(values)
    def run(value: Any) -> None:
        check(mutant, value)

    with pytest.raises(AssertionError):
        run()
