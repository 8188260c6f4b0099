"""The version of a release is in the pyproject.toml of the checkout, and everything else has the same version."""

from __future__ import annotations

import json
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from greenroom.api.openapi import document

ROOT = Path(__file__).parents[2]
PACKAGES = sorted((ROOT / "packages").iterdir())


def project(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text())["project"]


VERSION = project(ROOT)["version"]


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda folder: folder.name)
def test_a_distribution_derives_its_version(folder: Path):
    assert "version" not in project(folder)
    assert metadata.version(project(folder)["name"]) == VERSION


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda folder: folder.name)
def test_a_source_distribution_contains_the_license(folder: Path):
    license_file = folder / "LICENSE"
    assert not license_file.is_symlink(), "a link out of a source distribution cannot be unpacked"
    assert license_file.read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_the_document_of_the_api_has_the_version():
    assert document()["info"]["version"] == VERSION


@pytest.mark.parametrize("name", ["package.json", "package-lock.json"])
def test_the_console_has_the_version(name: str):
    assert json.loads((ROOT / "web" / name).read_text())["version"] == VERSION
