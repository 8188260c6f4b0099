"""The recipes that come with Greenroom, and the names of their images."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from unittest.mock import AsyncMock, Mock
from xml.etree import ElementTree as ET

import pytest

from greenroom.core.errors import NotFound
from greenroom.recipes import build, shelf
from greenroom.runtimes.contract import BuildError


def test_each_recipe_can_be_used_and_has_its_artwork():
    recipes = shelf.all_recipes()
    assert {recipe.name for recipe in recipes} == {folder.name for folder in shelf.CATALOGUE.iterdir()}
    assert len({recipe.friendly_name for recipe in recipes}) == len(recipes)
    assert "Desktop" not in {recipe.friendly_name for recipe in recipes}, "that is the first workspace"
    for recipe in recipes:
        picture = ET.fromstring(shelf.picture(recipe))  # noqa: S314 -- a file of this repository
        assert picture.get("viewBox") == "0 0 320 200"


def test_a_recipe_that_is_not_there_is_refused_with_the_names_of_those_that_are():
    with pytest.raises(NotFound, match=r"no recipe chess; it has .*firefox"):
        shelf.find("chess")


@pytest.mark.parametrize("changed", ["catalogue/firefox/recipe.toml", "base/packages", "base/rootfs/etc/new"])
def test_an_image_has_another_name_when_anything_that_it_is_made_of_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
):
    shutil.copytree(shelf.ROOT, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(shelf, "BASE", tmp_path / "base")
    monkeypatch.setattr(shelf, "CATALOGUE", tmp_path / "catalogue")
    firefox = shelf.find("firefox")
    before = shelf.reference(firefox)
    (tmp_path / changed).open("a").write("\n# changed")
    shelf.forget()
    assert before.startswith("greenroom/firefox:")
    assert shelf.reference(firefox) != before
    shelf.forget()


async def test_packages_that_the_daemon_does_not_take_end_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name, text in (("packages", "tini\n"), ("excludes", "")):
        (tmp_path / name).write_text(text)
    programs = {"mmdebstrap": "echo I: installing >&2; exec head -c 10000000 /dev/zero", "apt-config": "true"}
    for name, line in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    builder = Mock(build_from_tree=AsyncMock(side_effect=BuildError("The connection was closed.")))
    async with asyncio.timeout(20):
        with pytest.raises(BuildError, match="The connection was closed"):
            [step async for step in build.build_base(builder, "base", tmp_path)]
