"""docs/reference/logs.md lists every code that the product writes, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, get_args

from greenroom.agent.reconciler import REPORTS
from greenroom.core.pool.model import ShortfallCode
from greenroom.core.security_events import SECURITY_CODES
from greenroom.core.session.states import SessionStatus

ROOT = Path(__file__).parent.parent.parent
SOURCES = ROOT / "src/greenroom"
PAGE = ROOT / "docs/reference/logs.md"

WRITES = re.compile(r"\b(LogWriter|LogRow|Logs|RoundEvents|log_line|logs\.write|CODE: Final)\b")
"""A module that writes log rows: what looks like a code in it is one."""
CODE = re.compile(r"[a-z]+(-[a-z0-9]+)+")
NO_CODES: Final = {
    "check-in",  # a loop
    "filter-policies",  # a path
    "web-filter",  # a folder
    "idempotency-key",  # headers
    "user-agent",
    "x-greenroom-zone",
    *get_args(ShortfallCode),  # causes, not codes of rows
    "log-in",  # what a change was about
    "log-ins",
}
COMPUTED: Final = {
    "f'session-{move.to}'": {f"session-{status}" for status in SessionStatus},
    "f'session-{status}'": {f"session-{status}" for status in SessionStatus},
    "f'agent-{action.to}'": {"agent-running", "agent-missing", "agent-dead"},
    """f"agent-{report.kind.value.replace('_', '-')}\"""": {f"agent-{k.value.replace('_', '-')}" for k in REPORTS},
}
"""Codes put together at run time."""
BEGINNINGS: Final = {"session-", "agent-", "manager-", "primary-", "staging-", "staged-", "launch-", "web-filter-"}
SINGLE_WORDS: Final = {"login", "logout"}


def modules() -> Iterator[ast.Module]:
    for path in sorted(SOURCES.rglob("*.py")):
        if WRITES.search(text := path.read_text()):
            yield ast.parse(text)


def audited(tree: ast.Module) -> Iterator[str]:
    """Codes of `audit(logs, caller, verb, noun, …)`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "audit":
            verb, noun = (ast.literal_eval(argument) for argument in node.args[2:4])
            yield f"{noun.lower().replace(' ', '-')}-{verb}"


def constants(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value):
            yield node.value


def computed(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
            parts = [str(part.value) for part in node.values if isinstance(part, ast.Constant)]
            if parts[0] in BEGINNINGS and all(re.fullmatch(r"[a-z-]+", part) for part in parts):
                yield ast.unparse(node)


def used() -> set[str]:
    codes = set(SINGLE_WORDS)
    for tree in modules():
        codes.update(audited(tree), constants(tree))
        for expression in computed(tree):
            assert expression in COMPUTED, f"say in COMPUTED which codes {expression} can be"
            codes |= COMPUTED[expression]
    return codes - NO_CODES


def documented() -> list[str]:
    rows = re.findall(r"^\| (`.*?) \|", PAGE.read_text().partition("## Codes")[2], re.MULTILINE)
    return [code for row in rows for code in re.findall(r"`([^`]+)`", row)]


def test_every_code_is_documented_and_every_documented_one_is_used():
    codes = documented()
    assert len(codes) > 50
    assert sorted(codes) == sorted(set(codes))
    assert used() - set(codes) == set(), "describe it in docs/reference/logs.md"
    assert set(codes) - used() == set(), "nothing writes this code any more"


def test_security_events_are_codes_that_are_written_and_the_page_names_them():
    text = PAGE.read_text()
    named = set(re.findall(r"`([a-z-]+)`", text.partition("**Security events**")[2].partition("\n\n")[0]))
    assert set(documented()) >= SECURITY_CODES
    assert named >= SECURITY_CODES
