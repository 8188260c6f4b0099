"""The actions, output and exit code of `greenroom doctor --repair` for leftovers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import pytest
from typer.testing import CliRunner

from greenroom.cli.client import Client
from greenroom.cli.main import app
from greenroom.cli.output import Row
from greenroom.cli.repair import find_leftovers
from greenroom.core.errors import SetupError
from greenroom.core.session.leftovers import MAX_AT_ONCE, Leftover, RuntimeObject
from greenroom.runtimes.contract import StartError
from greenroom.runtimes.registry import find_runtime
from greenroom.up import doctor
from greenroom.up.doctor import RepairOutcome, remove_leftovers, repair_instance
from greenroom.up.layout import Layout


class Namespace:
    """Some objects, one of which is in use by another."""

    def __init__(self) -> None:
        self.removed: list[str] = []

    async def list(self) -> list[RuntimeObject]:
        return []

    async def remove(self, item: RuntimeObject) -> None:
        if item.name == "held":
            raise StartError("It has containers.")
        self.removed.append(item.name)


def found(name: str, *, removed: bool = True) -> Leftover:
    return Leftover(
        item=RuntimeObject(kind="network", name=name, ref=name, age_s=99.0), removed=removed, reason="so it is"
    )


async def test_one_that_cannot_be_removed_holds_up_no_other_and_unasked_nothing_is_done():
    namespace, leftovers = Namespace(), [found("held"), found("free"), found("young", removed=False)]
    assert [one.became for one in await remove_leftovers(namespace, leftovers, removes=False)] == [
        "would be removed",
        "would be removed",
        "left",
    ]
    assert namespace.removed == []
    assert await remove_leftovers(namespace, leftovers, removes=True) == [
        RepairOutcome(thing="network held", became="not removed", reason="It has containers"),
        RepairOutcome(thing="network free", became="removed", reason="so it is"),
        RepairOutcome(thing="network young", became="left", reason="so it is"),
    ]
    assert namespace.removed == ["free"]


@pytest.mark.parametrize(
    ("became", "code", "words"),
    [
        (None, 0, "Nothing is left over."),
        ("removed", 0, "removed: network a: so it is."),
        ("left", 0, "left: network a: so it is."),
        ("not removed", 1, "not removed: network a: so it is."),
        ("would be removed", 1, "greenroom doctor --repair --yes"),
    ],
)
def test_what_is_still_there_and_could_be_removed_is_exit_code_1(
    *,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    became: doctor.RepairResult | None,
    code: int,
    words: str,
):
    outcomes = [RepairOutcome(thing="network a", became=became, reason="so it is")] if became else []

    async def done(_: Layout, *, removes: bool) -> list[RepairOutcome]:
        del removes
        return outcomes

    monkeypatch.setattr(doctor, "running_layout", Layout)
    monkeypatch.setattr(doctor, "_repair", done)
    for as_json in (False, True):
        try:
            repair_instance(tmp_path, removes=False, as_json=as_json)
            ended = 0
        except SystemExit as end:
            ended = end.code
        assert ended == code
    text, _, last = capsys.readouterr().out.rstrip("\n").rpartition("\n")
    assert words in text
    assert [one["became"] for one in json.loads(last)] == ([became] if became else [])


def test_nothing_is_removed_by_mistake():
    done = CliRunner().invoke(app, ["doctor", "--yes"])
    assert isinstance(done.exception, SetupError)
    assert "--yes requires --repair" in done.exception.message
    with pytest.raises(SetupError, match="nothing to repair"):
        find_runtime("simulated").installation_objects("an-installation")


class Elsewhere:
    """A deployment that reports that each object, except those of session `living`, belongs to nothing."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def post(self, path: str, body: Row) -> Row:
        assert path == "/diagnostics/leftovers"
        self.asked.append(len(body["things"]))
        over = [one for one in body["things"] if one["session_id"] != "living"]
        return {"leftovers": [{"ref": one["ref"], "removed": True, "reason": "it is over"} for one in over]}


def test_a_deployment_elsewhere_judges_what_was_found_here_part_by_part():
    things = [
        RuntimeObject(kind="Pod", name=f"p{n}", ref=f"{n}", age_s=99.0, session_id="over") for n in range(MAX_AT_ONCE)
    ]
    filters = RuntimeObject(kind="Secret", name="filter", ref="f", age_s=99.0)
    living = RuntimeObject(kind="Pod", name="living", ref="l", age_s=99.0, session_id="living")
    elsewhere = Elsewhere()
    found = find_leftovers(cast("Client", elsewhere), [filters, *things, living])
    assert elsewhere.asked == [MAX_AT_ONCE, 2]
    assert {one.item for one in found} == {filters, *things}
    assert found[-1].item == filters, "what is made for a session goes first"


def test_a_deployment_cannot_have_something_removed_that_was_not_found_here():
    class Lying:
        def post(self, _path: str, _body: Row) -> Row:
            return {"leftovers": [{"ref": "another", "removed": True, "reason": "it is over"}]}

    with pytest.raises(SetupError, match="returned another, which was not in the request; nothing was removed"):
        find_leftovers(cast("Client", Lying()), [RuntimeObject(kind="Pod", name="p", ref="p", age_s=99.0)])
