"""script/test_rules.py: what each rule about tests finds, and what it leaves alone."""

from __future__ import annotations

import pytest
from script.test_rules import Module, findings


def found(body: str, path: str = "tests/unit/test_x.py") -> list[str]:
    """The problems of the module, without their lines and remedies."""
    return [one.problem for one in findings(Module(path, body))]


def test_a_finding_says_where_what_and_what_to_do():
    (one,) = findings(Module("tests/host/test_x.py", f"\ndef test_{'x' * 76}(): ..."))
    assert str(one) == f"tests/host/test_x.py:2: the name test_{'x' * 76} has 81 characters; shorten it to 80"
    assert found(f"def test_{'x' * 75}(): ...") == []


@pytest.mark.parametrize(
    ("line", "used"),
    [
        ("PAGE = Path(__file__).parents[2]", "__file__"),
        ("FOLDER = Path(greenroom.__file__).parent", "__file__"),
        ("sys.path.append('x')", "sys.path"),
        ("spec = importlib.util.spec_from_file_location('x', y)", "spec_from_file_location"),
        ("text = inspect.getsource(x)", "getsource"),
        ("from bench import summary", "bench.summary"),
        ("import runpy", "runpy"),
        ("from tests.acceptance.cloud import Cloud", "tests.acceptance.cloud.Cloud"),
        ("from tests import images", "tests.images"),
        ("PAGE = Path('docs/reference/logs.md')", "docs/reference/logs.md"),
        ("text = open('script/test').read()", "script/test"),
    ],
)
def test_unit_tests_alone_may_not_use_the_checkout(line: str, used: str):
    assert found(line) == [f"a unit test uses {used}"]
    assert found(line, "tests/repository/test_x.py") == []


@pytest.mark.parametrize(
    "line",
    [
        "from tests.support.waiting import eventually",
        "from tests.unit.properties import holds",
        "import watching",
        "folder = Path('none')",
        "text = (tmp_path / 'docs').read_text()",
    ],
)
def test_unit_tests_may_use_the_product_shared_code_and_folders_of_their_own(line: str):
    assert found(line) == []


@pytest.mark.parametrize(
    "loop",
    [
        "for x in y:\n  if x: continue\n  assert x.good",
        "for x in y:\n  if x:\n   assert x.good",
        "for x in y:\n  if x:\n   assert x.good\n  elif z: pass",
        "for x in [a for a in y if a]:\n  assert x.good",
        "some = [a for a in y if a]\n for x in some:\n  assert x.good",
        "n = 0\n for x in y:\n  if x:\n   assert x.good\n   n += 1",
        "assert n\n for x in y:\n  if x:\n   assert x.good\n   n += 1",
    ],
)
def test_a_loop_that_may_judge_nothing_is_found(loop: str):
    assert found(f"def test_x():\n {loop}\n") == ["the loop of test_x may judge nothing"]
    assert found(f"@given(y)\ndef test_x(y):\n {loop}\n") == [], "what a mutant shows"
    assert found(f"def helper():\n {loop}\n") == []


@pytest.mark.parametrize(
    "loop",
    [
        "for x in y:\n  assert x.good",
        "for x in y:\n  assert x\n  if x: continue\n  assert x.good",
        "for x in y:\n  if x:\n   assert x.good\n  else:\n   assert x.bad",
        "for x in y:\n  if x: z()\n  assert x.good",
        "for x in y:\n  with pytest.raises(Invalid):\n   z(x)\n  if x:\n   assert x.good",
        "n = 0\n for x in y:\n  if x:\n   assert x.good\n   n += 1\n assert n",
        "n = []\n for x in y:\n  if x:\n   assert x.good\n   n.append(x)\n assert len(n) == 2",
        "some = [a for a in y if a]\n assert some\n for x in some:\n  assert x.good",
    ],
)
def test_a_loop_that_judges_or_counts_is_left_alone(loop: str):
    assert found(f"def test_x():\n {loop}\n") == []


CORE = "tests/unit/core/test_x.py"


@pytest.mark.parametrize(
    "body",
    [
        "@given(x)\ndef test_x(x): ...",
        "def test_x():\n @given(x)\n def test_x(x): ...",
        "def test_x():\n holds(test_x, subject, x)",
        "def test_x():\n holds(test_x, subject, x)\n catches(another, mutant, x)",
        "# No mutant:\n@given(x)\ndef test_x(x): ...",
    ],
)
def test_a_property_of_the_core_without_mutant_is_found(body: str):
    assert found(body, CORE) == ["the property test_x has no mutant"]
    assert found(body) == []


@pytest.mark.parametrize(
    "body",
    [
        "@for_all(x, mutants=[y])\ndef test_x(x, *, subject=z): ...",
        "# No mutant: any other result fails it.\n@given(x)\ndef test_x(x): ...",
        "def test_x():\n holds(right, subject, x)\ndef test_y():\n catches(right, mutant, x)",
    ],
)
def test_a_property_with_a_mutant_or_a_reason_is_left_alone(body: str):
    assert found(body, CORE) == []
