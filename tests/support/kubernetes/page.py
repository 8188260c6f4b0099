"""The commands of docs/howto/kubernetes.md, typed by the reader of an installation on the test cluster."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from tests.acceptance.instance import wait_for
from tests.commands_of_pages import ROOT, Block, blocks_of, words_of
from tests.support.kubernetes.installation import Installation

PAGE: Final = ROOT / "docs/howto/kubernetes.md"
BLOCKS: Final = [block for block in blocks_of(PAGE) if block.not_run is None]
SOON_S: Final = 120.0
ALL: Final = slice(None)


def read(
    installation: Installation, section: str, words: Mapping[str, str] = MappingProxyType({}), blocks: slice = ALL
) -> list[str]:
    """Type the commands of a section, or only some `blocks` of it; each must succeed and print the output on the
    page. `words` are additional placeholders with the reader's values. Returns the outputs."""
    found = [block for block in BLOCKS if block.section == section][blocks]
    assert found, f"the page has no commands under {section!r} any more"
    return [_typed(installation, block, words) for block in found]


def managers(installation: Installation) -> list[dict[str, Any]]:
    """The records of running Managers."""
    return [one for one in installation.call("GET", "/managers") if one["status"] == "running"]


def primary(installation: Installation) -> dict[str, Any]:
    """The record of the Manager that is Primary; its instance id is the name of its Pod."""
    return wait_for(
        lambda: next((one for one in managers(installation) if one["is_primary"]), None),
        "a Manager is Primary",
        SOON_S,
    )


def _typed(installation: Installation, block: Block, words: Mapping[str, str]) -> str:
    commands = block.commands
    for word, own in words.items():
        commands = commands.replace(word, own)
    names = "|".join(map(re.escape, _READER))
    commands = re.sub(names, lambda found: _READER[found[0]](installation), commands)
    if commands.startswith("greenroom "):
        wait_for(installation.answers, "the console answers", SOON_S)
    said = installation.type(commands)
    missing = [word for word in words_of(block.shown) if word not in said]
    assert missing == [], f"{commands}\n{said}"
    if "kubectl apply -k" in commands and not installation.is_reachable:
        installation.balance_load()
    return said


_READER: Final[dict[str, Callable[[Installation], str]]] = {
    "greenroom.example.org": lambda installation: installation.host,
    "PRIMARY": lambda installation: primary(installation)["instance_id"],
}
"""Placeholders on the page → the reader's value."""
