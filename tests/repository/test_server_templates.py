"""The templates of the texts that people read, in the source code of the server."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "script/server_templates.py"


@pytest.fixture
def templates(tmp_path: Path) -> Callable[..., list[str]]:
    """Return the templates of a module with this source code."""
    below = runpy.run_path(str(SCRIPT))["templates_below"]

    def of(code: str, *, only_errors: bool = False) -> list[str]:
        module = tmp_path / "module.py"
        module.write_text(code)
        return sorted(below(module, only_errors=only_errors))

    return of


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ('def f(zone):\n    return f"Zone {zone.zone_name} is full."', ["Zone {name0} is full."]),
        ('def f(a, b):\n    return f"{a} of {b} are missing."', ["{0} of {1} are missing."]),
        (
            'def f(n):\n    verb = "is" if n == 1 else "are"\n    return f"{n} {verb} starting"',
            ["{0} are starting", "{0} is starting"],
        ),
        ('TEXT = "must have at most {max_length} characters"', ["must have at most {0} characters"]),
        ('def f(x):\n    return "A text " + x.name', ["A text {name0}"]),
        ('def f():\n    """A text for developers."""', []),
        ('def f():\n    log.info("a text of the log")', []),
        ('def f(x):\n    return x == "a value to compare"', []),
        ('PATTERN = "SELECT a text FROM a table"', []),
        ('WORD = "word"', []),
    ],
)
def test_a_text_is_a_template(templates: Callable[..., list[str]], code: str, found: list[str]):
    assert templates(code) == found


def test_only_the_texts_of_errors_are_found_if_these_are_wanted(templates: Callable[..., list[str]]):
    code = (
        'def f(name):\n    if not name:\n        raise Invalid(f"There is no {name}.")\n    return "a text of the page"'
    )
    assert templates(code, only_errors=True) == ["There is no {name0}."]


def test_the_messages_of_log_rows_are_templates(tmp_path: Path):
    code = (
        "def f(self, caller, ip, code):\n"
        '    self.logs.write(LogCode.LOGIN, f"{caller.name} logged in from {ip}")\n'
        '    log.info("a text of the process")\n'
        '    file.write("a text of a file")\n'
    )
    (tmp_path / "module.py").write_text(code)
    assert runpy.run_path(str(SCRIPT))["log_templates_below"](tmp_path) == {"{name0} logged in from {1}"}


def test_a_call_of_audit_has_the_code_and_the_name_of_its_object(tmp_path: Path):
    code = (
        "def f(change, zone, is_far):\n"
        "    code = LogCode.ZONE_ADDRESSES_CHANGED if is_far else LogCode.ZONE_CHANGED\n"
        "    change.audit(code, zone.name)\n"
        "def g(change):\n"
        '    change.audit(LogCode.SETTING_CHANGED, "of the installation")\n'
    )
    (tmp_path / "module.py").write_text(code)
    script = runpy.run_path(str(SCRIPT))
    assert sorted(script["changes_below"](tmp_path)) == [
        ("SETTING_CHANGED", "of the installation"),
        ("ZONE_ADDRESSES_CHANGED", script["NAME"]),
        ("ZONE_CHANGED", script["NAME"]),
    ]
