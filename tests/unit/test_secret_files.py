"""The files with which a web filter adds secrets to requests."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from greenroom.agent.web_filter import secret_files as subject
from greenroom.agent.web_filter.secret_files import FilterError, Owner, SecretFiles
from greenroom.core.named_secrets import FilterSecret

SECRET = FilterSecret(name="token", hosts=("api.open.test",), header="Authorization", value="Bearer 1")


@pytest.fixture
def secret_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SecretFiles:
    monkeypatch.setattr(subject, "MEMORY_FOLDER", tmp_path)
    return SecretFiles(tmp_path / "filters" / "p", Owner(os.geteuid(), os.getegid()))


def test_the_first_write_creates_the_folder_and_the_files(secret_files: SecretFiles):
    assert secret_files.write([SECRET], "headers")

    assert stat.S_IMODE(secret_files.folder.stat().st_mode) == 0o750
    assert secret_files.headers_file.read_text() == "headers"
    assert stat.S_IMODE(secret_files.headers_file.stat().st_mode) == 0o600
    assert secret_files.certificate.read_text().startswith("-----BEGIN CERTIFICATE-----")


def test_an_equal_write_changes_nothing(secret_files: SecretFiles):
    secret_files.write([SECRET], "headers")
    certificate = secret_files.certificate.read_text()

    assert not secret_files.write([SECRET], "headers")
    assert secret_files.certificate.read_text() == certificate


def test_a_write_without_secrets_removes_the_files(secret_files: SecretFiles):
    secret_files.write([SECRET], "headers")

    assert secret_files.write([], "")
    assert not secret_files.folder.exists()


def test_a_file_in_place_of_the_folder_is_refused(secret_files: SecretFiles):
    secret_files.folder.write_text("")

    with pytest.raises(FilterError, match="is not a folder of this account; remove it"):
        secret_files.write([SECRET], "headers")
