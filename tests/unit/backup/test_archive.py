"""The files in the archive of a backup."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path, PurePosixPath

import pytest

from greenroom.backup.create import _Archive
from greenroom.core.errors import SetupError

CERTIFICATE = PurePosixPath("tls/server.pem")


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """The folder with the keys, with a link to a link to a certificate, as certbot creates them."""
    archive, keys = tmp_path / "letsencrypt/archive", tmp_path / "greenroom"
    archive.mkdir(parents=True)
    (archive / "server1.pem").write_text("the certificate")
    (archive / "server1.pem").chmod(0o640)
    (archive.parent / "server.pem").symlink_to("archive/server1.pem")
    (keys / "tls").mkdir(parents=True)
    (keys / CERTIFICATE).symlink_to(archive.parent / "server.pem")
    return keys


def test_a_link_to_a_certificate_is_stored_as_the_file_that_it_names(keys: Path):
    written = io.BytesIO()
    with _Archive(written, follows_links=True) as archive:
        archive.add_file(keys, CERTIFICATE)
    written.seek(0)
    with tarfile.open(fileobj=written) as read:
        member = read.getmember(f"data/{CERTIFICATE}")
        content = read.extractfile(member)
        assert content is not None
        assert (member.isreg(), member.mode, content.read()) == (True, 0o640, b"the certificate")


@pytest.mark.parametrize("target", ["/absent", "/etc", "/dev/null"])
def test_a_link_to_something_else_is_refused_with_both_names(keys: Path, target: str):
    (keys / CERTIFICATE).unlink()
    (keys / CERTIFICATE).symlink_to(target)
    with pytest.raises(SetupError, match=rf"tls/server\.pem is a symbolic link to {target}, which is not a file"):
        _Archive(io.BytesIO(), follows_links=True).add_file(keys, CERTIFICATE)


def test_a_link_in_the_data_of_an_instance_is_refused(keys: Path):
    with pytest.raises(SetupError, match=r"tls/server\.pem is a symbolic link; use a mount"):
        _Archive(io.BytesIO()).add_file(keys, CERTIFICATE)
