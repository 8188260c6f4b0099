"""Check a property of one function, and that the property rejects a wrong one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

Property = Callable[[Callable[..., Any], Any], None]

CATCH = settings(max_examples=2000, deadline=None, database=None, derandomize=True, phases=[Phase.generate])
"""A mutant gets the same values in every run."""


def for_all(
    *values: st.SearchStrategy[Any],
    subject: Callable[..., Any],
    mutants: Sequence[Callable[..., Any]],
    **named: st.SearchStrategy[Any],
) -> Callable[[Callable[..., None]], Callable[[Any], None]]:
    """The decorated test, whose argument `subject` is the function under test, passes for many values of the others,
    and fails for each of the wrong implementations."""
    assert mutants

    def decorated(test: Callable[..., None]) -> Callable[[Any], None]:
        wrong = [
            pytest.param(mutant, id=f"mutant {number}", marks=pytest.mark.mutant)
            for number, mutant in enumerate(mutants, 1)
        ]

        @pytest.mark.parametrize("mutant", [pytest.param(None, id="right"), *wrong])
        def judged(mutant: Callable[..., Any] | None) -> None:
            if mutant is None:
                given(*values, **named)(test)(subject=subject)
                return
            with pytest.raises(AssertionError):
                CATCH(given(*values, **named)(test))(subject=mutant)

        judged.__name__, judged.__doc__ = test.__name__, test.__doc__
        return judged

    return decorated


def holds(check: Property, subject: Callable[..., Any], values: st.SearchStrategy[Any]) -> None:
    """`check(subject, value)` for many values."""

    @given(values)
    def run(value: Any) -> None:
        check(subject, value)

    run()


def catches(check: Property, mutant: Callable[..., Any], values: st.SearchStrategy[Any]) -> None:
    """The property must fail for this wrong implementation, with the same values in every run."""

    @CATCH
    @given(values)
    def run(value: Any) -> None:
        check(mutant, value)

    with pytest.raises(AssertionError):
        run()
