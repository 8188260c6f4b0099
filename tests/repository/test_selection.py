"""Which tests `script/test --changed` chooses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from tests.selection.changes import Changes, changes_since, differences
from tests.selection.record import Calls, load_calls
from tests.selection.select import SUITES, Finder, select, tables_of, wall_s
from tests.selection.users import Sources

ROOT: Final = Path(__file__).parents[2]
OLD: Final = '''
"""Rates."""
LIMIT = 3

class Rate:
    """A rate."""
    per_s: int = 1

    def allowed(self):
        return self.per_s < LIMIT

def turns(rate):
    def inner():
        return 1
    return inner()
'''


@pytest.mark.parametrize(
    ("before", "after", "functions", "names"),
    [
        ("return self.per_s < LIMIT", "return self.per_s <= LIMIT", {"Rate.allowed"}, set()),
        ("return 1", "return 2", {"turns"}, set()),
        ("LIMIT = 3", "LIMIT = 4", set(), {"LIMIT"}),
        ("per_s: int = 1", "per_s: int = 2", set(), {"Rate"}),
        ("class Rate:", "class Rate(Base):", set(), {"Rate"}),
        ('"""A rate."""', '"""Another docstring."""  # and a comment', set(), set()),
        ("def turns(rate):", "@cache\ndef turns(rate):", {"turns"}, set()),
        ("    def allowed(self)", "    def __bool__(self): ...\n\n    def allowed(self)", {"Rate.__bool__"}, {"Rate"}),
        ('"""Rates."""', "from a import LIMIT", set(), {"LIMIT"}),
        ('"""Rates."""', "register()", set(), {"*"}),
    ],
)
def test_the_functions_and_names_that_differ_are_found(before: str, after: str, functions: set[str], names: set[str]):
    assert before in OLD
    assert differences(OLD, OLD.replace(before, after)) == (functions, names)


def git(root: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with a module, a test of it, and a page."""
    files = {
        "src/greenroom/rates.py": OLD,
        "src/greenroom/turns.py": "from .rates import LIMIT\nTWICE = 2 * LIMIT\n\ndef last():\n    return TWICE\n",
        "tests/unit/test_rates.py": "from greenroom.rates import LIMIT\n\ndef test_a(): ...\n\ndef test_b(): ...\n",
        "docs/README.md": "text",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "Begin")
    return tmp_path


def test_changes_that_are_not_committed_count(checkout: Path):
    (checkout / "src/greenroom/rates.py").write_text(OLD.replace("return 1", "return 2"))
    (checkout / "src/greenroom/new.py").write_text("def new(): ...\n")
    (checkout / "docs/README.md").write_text("another text")
    found = changes_since(checkout, "HEAD")
    assert found.functions == {("src/greenroom/rates.py", "turns"), ("src/greenroom/new.py", "new")}
    assert found.files == {"docs/README.md"}
    assert not found.tests


def test_a_changed_test_function_is_chosen_without_the_rest_of_its_file(checkout: Path):
    test = checkout / "tests/unit/test_rates.py"
    test.write_text(test.read_text().replace("def test_b(): ...", "def test_b(): assert LIMIT"))
    assert changes_since(checkout, "HEAD").tests == {"tests/unit/test_rates.py::test_b"}


def test_a_test_file_with_another_import_is_chosen_as_a_whole(checkout: Path):
    test = checkout / "tests/unit/test_rates.py"
    test.write_text(test.read_text().replace("import LIMIT", "import turns as LIMIT"))
    assert changes_since(checkout, "HEAD").tests == {"tests/unit/test_rates.py"}


def test_users_of_a_name_are_found_through_names_defined_by_it(checkout: Path):
    functions, tests = Sources(checkout).users("src/greenroom/rates.py", "LIMIT")
    assert functions == {("src/greenroom/rates.py", "Rate.allowed"), ("src/greenroom/turns.py", "last")}
    assert tests == {"tests/unit/test_rates.py"}


def test_a_test_file_with_the_name_of_the_module_is_found_without_a_recorded_call(checkout: Path):
    finder = Finder(Sources(checkout))
    subject = "src/greenroom/rates.py::turns"
    finder.calls = Calls({subject: {"tests/unit/test_removed.py"}})
    found = finder.candidates(Changes(functions={("src/greenroom/rates.py", "turns")}))
    assert found == {subject: ["tests/unit/test_rates.py"]}


def test_the_importers_of_a_module_that_was_never_recorded_are_found(checkout: Path):
    (checkout / "src/greenroom/fresh.py").write_text("def fresh(): ...\n\ndef _part(): ...\n")
    (checkout / "tests/unit/test_other.py").write_text("from greenroom.fresh import fresh\n")
    finder = Finder(Sources(checkout))
    subject = "src/greenroom/fresh.py::_part"
    found = finder.candidates(Changes(functions={("src/greenroom/fresh.py", "_part")}))
    assert found == {subject: ["tests/unit/test_other.py"]}


def test_a_test_file_that_was_never_recorded_is_found_beside_recorded_ones(checkout: Path):
    (checkout / "tests/unit/test_new.py").write_text("from greenroom.rates import turns\n")
    finder = Finder(Sources(checkout))
    subject = "src/greenroom/rates.py::turns"
    finder.calls = Calls({subject: {"tests/unit/test_rates.py"}})
    found = finder.candidates(Changes(functions={("src/greenroom/rates.py", "turns")}))
    assert set(found[subject]) == {"tests/unit/test_rates.py", "tests/unit/test_new.py"}


def test_the_tests_of_the_script_that_wrote_a_generated_file_are_found(checkout: Path):
    (checkout / "tests/repository").mkdir()
    (checkout / "tests/repository/test_writing.py").write_text('SCRIPT = "script/write_turns.py"\n')
    path = "src/greenroom/turns.py"
    (checkout / path).write_text("# Written by script/write_turns.py from rates.py.\n\ndef last(): ...\n")
    found = Finder(Sources(checkout)).candidates(Changes(functions={(path, "last")}))
    assert found[path] == ["tests/repository/test_writing.py"]


def test_nine_of_ten_test_files_are_recorded():
    recorded = load_calls().number_of_subjects()
    found = [file for suite in SUITES for file in (ROOT / "tests" / suite).rglob("test_*.py")]
    files = {str(file.relative_to(ROOT)) for file in found if ".venv" not in file.parts}
    assert len(files) > 100
    assert len(files - recorded.keys()) <= len(files) / 10, "record the others: script/test --record"


@pytest.mark.parametrize(
    ("test", "role"),
    [
        ("tests/database/test_agent_replicas.py", "agent"),
        ("tests/host/test_gateway_kill.py", "gateway"),
        ("tests/host/test_partition.py", "manager"),
        ("tests/host/test_leadership_faults.py", "manager"),
        ("tests/acceptance/test_up.py", "api"),
    ],
)
def test_the_roles_that_a_test_starts_are_recorded(test: str, role: str):
    main = {path for path in load_calls().tests_of if path.startswith(f"src/greenroom/{role}/main.py::")}
    assert main
    assert any(test in load_calls().tests_of[path] for path in main)


UNIT = [f"tests/unit/test_{number}.py" for number in range(10)]


def test_the_closest_tests_are_chosen_until_the_time_is_used():
    chosen = select(Changes(), {"a": UNIT[:6], "b": UNIT[6:]}, dict.fromkeys(UNIT, 10.0), within_s=25)
    assert set(chosen.targets) == {UNIT[0], UNIT[6], UNIT[1], UNIT[7]}
    assert chosen.takes_s == wall_s(dict.fromkeys(chosen.targets, 10.0)) <= 25
    assert chosen.candidates == set(UNIT)


def test_a_file_that_runs_alone_takes_less_time_than_beside_others():
    alone, other = "tests/database/test_a.py", "tests/database/test_b.py"
    start_s = SUITES["database"].start_s
    assert wall_s({alone: 40.0}) == start_s + 20
    assert wall_s({alone: 40.0, other: 40.0}) == start_s + 20
    assert (
        wall_s(dict.fromkeys([alone, other, "tests/database/test_c.py", "tests/database/test_d.py"], 40.0))
        == start_s + 40
    )


def test_the_shortest_test_is_chosen_if_none_fits_and_others_are_counted():
    durations = dict.fromkeys(UNIT, 100.0) | {UNIT[7]: 90.0}
    chosen = select(Changes(), {"a": UNIT[:6], "b": UNIT[6:]}, durations, within_s=1)
    assert (chosen.targets, chosen.missed) == ([UNIT[7]], 1)


def test_changed_tests_are_chosen_first():
    changed = "tests/unit/test_changed.py"
    durations = dict.fromkeys(UNIT, 10.0) | {changed: 20.0}
    chosen = select(Changes(tests={changed}), {"a": UNIT[:6], "b": UNIT[6:]}, durations, within_s=25)
    assert set(chosen.targets) == {changed, UNIT[0], UNIT[6]}


def test_tables_of_a_migration_are_found():
    sql = "ALTER TABLE sessions ADD x int;\nCREATE INDEX ON leases (x);\nUPDATE users SET a = 1;"
    assert tables_of(sql) == {"sessions", "leases", "users"}


def test_what_was_known_of_a_test_file_is_replaced(tmp_path: Path):
    (tmp_path / "a").touch()
    (tmp_path / "b").touch()
    calls = Calls({"f": {"a", "b"}, "g": {"a", "gone"}})
    calls.replace({"a": ["f"]}, set(), tmp_path)
    assert calls.tests_of == {"f": {"a", "b"}}
    calls.replace({"b": ["g"]}, {"b"}, tmp_path)
    assert calls.tests_of == {"f": {"a", "b"}, "g": {"b"}}


STARTED = """
import json, sys
from pathlib import Path
import pytest
from tests.selection import record
record.CALLS, record.DURATIONS = Path(sys.argv[1]) / "calls", Path(sys.argv[1]) / "durations"
plugins = ["-p", "tests.selection.recorder", "-p", "tests.selection.timer"]
assert pytest.main([*plugins, "-q", sys.argv[2]]) == 0
calls = {subject: sorted(tests) for subject, tests in record.load_calls().tests_of.items()}
print(json.dumps([calls, record.load_durations()]))
"""


@pytest.mark.program
def test_the_time_of_a_test_and_functions_that_its_processes_enter_are_recorded(tmp_path: Path):
    (tmp_path / "sitecustomize.py").write_text(
        f"import sys\nsys.path.append({str(ROOT)!r})\nimport tests.selection.calls\n"
    )
    example = "tests/repository/recorded_example.py"
    done = subprocess.run(
        [sys.executable, "-c", STARTED, str(tmp_path), example],
        cwd=ROOT,
        env={"PATH": os.defpath, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found, durations = json.loads(done.stdout.splitlines()[-1])
    assert durations[example] > 0
    assert found[f"{example}::test_in_a_process_of_its_own"] == [example]
    assert found["tests/selection/select.py::tables_of"] == [example]
    assert "tests/selection/select.py::select" not in found
