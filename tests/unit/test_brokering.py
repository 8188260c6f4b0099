"""The files with which a web filter adds secrets to requests."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from greenroom.agent.web_filter import brokering as subject
from greenroom.agent.web_filter.brokering import Brokering, FilterError, Owner
from greenroom.core.named_secrets import FilterSecret

SECRET = FilterSecret(name="token", hosts=("api.open.test",), header="Authorization", value="Bearer 1")


@pytest.fixture
def brokering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Brokering:
    monkeypatch.setattr(subject, "MEMORY", tmp_path)
    return Brokering(tmp_path / "filters" / "p", Owner(os.geteuid(), os.getegid()))


def test_the_first_write_creates_the_folder_and_the_files(brokering: Brokering):
    assert brokering.write([SECRET], "headers")

    assert stat.S_IMODE(brokering.folder.stat().st_mode) == 0o750
    assert brokering.headers.read_text() == "headers"
    assert stat.S_IMODE(brokering.headers.stat().st_mode) == 0o600
    assert brokering.certificate.read_text().startswith("-----BEGIN CERTIFICATE-----")


def test_an_equal_write_changes_nothing(brokering: Brokering):
    brokering.write([SECRET], "headers")
    certificate = brokering.certificate.read_text()

    assert not brokering.write([SECRET], "headers")
    assert brokering.certificate.read_text() == certificate


def test_a_write_without_secrets_removes_the_files(brokering: Brokering):
    brokering.write([SECRET], "headers")

    assert brokering.write([], "")
    assert not brokering.folder.exists()


def test_a_file_in_place_of_the_folder_is_refused(brokering: Brokering):
    brokering.folder.write_text("")

    with pytest.raises(FilterError, match="is not a folder of this account; remove it"):
        brokering.write([SECRET], "headers")
