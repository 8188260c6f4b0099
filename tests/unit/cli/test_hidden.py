"""Secrets that are typed as options are removed from the visible command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

import pytest
from typer.testing import CliRunner

from greenroom.cli.main import app

URL = "postgresql://greenroom:canary@db.example.org/greenroom"


class Replaced(BaseException):
    """Raised instead of replacing the process."""


@pytest.mark.parametrize("typed", [["--database-url", URL], [f"--database-url={URL}"]])
def test_a_database_password_moves_from_arguments_to_the_environment(typed: list[str], monkeypatch: pytest.MonkeyPatch):
    begun: list[tuple[list[str], Mapping[str, str]]] = []

    def replace(_: str, arguments: list[str], environment: Mapping[str, str]) -> None:
        begun.append((arguments, environment))
        raise Replaced

    monkeypatch.setattr(os, "execve", replace)
    words = ["up", "--port", "9443", *typed, "--detach"]
    monkeypatch.setattr(sys, "argv", ["greenroom", *words])
    with pytest.raises(Replaced):
        CliRunner().invoke(app, words, catch_exceptions=False)
    ((arguments, environment),) = begun
    assert arguments[-4:] == ["up", "--port", "9443", "--detach"]
    assert environment["GREENROOM_DATABASE_URL"] == URL
