"""The files of a release: the archive for deployments, the release notes and the checksums."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml
from script.release_files import (
    MAX_LINES,
    ReleaseError,
    archive,
    check_released,
    check_version,
    checksums,
    deployment_files,
    pin_image_tags,
    release_notes,
)

ROOT = Path(__file__).parents[2]
CHANGES = "".join(f"- Change {number}\n  goes on ([guide](guide.md)).\n" for number in range(100))
CHANGELOG = f"""# Changelog

## 1.1.0 - 2027-02-01

### Upgrade notes

- Read the [page](page.md)
  first.

### Added

Sessions:
{CHANGES}
Users:
- Groups.

### Security

- Keys.

## 1.0.0 - 2027-01-01

### Added

- All.
"""


def test_another_version_than_that_of_the_checkout_is_refused():
    with pytest.raises(ReleaseError, match=r"is 1\.0\.0; set it to 1\.1\.0"):
        check_version("1.1.0", '[project]\nversion = "1.0.0"')


@pytest.mark.parametrize("changes", ["- One.", "### Added\n\n- One."])
def test_a_release_with_unreleased_changes_is_refused(changes: str):
    changelog = CHANGELOG.replace("## 1.1.0", f"## Unreleased\n\n{changes}\n\n## 1.1.0")
    with pytest.raises(ReleaseError, match=r"has changes below 'Unreleased'; move them to the section 1\.1\.0"):
        check_released("1.1.0", changelog, ["v1.1.0"])
    check_released("1.1.0", CHANGELOG.replace("## 1.1.0", "## Unreleased\n\n## 1.1.0"), ["v1.1.0"])


@pytest.mark.parametrize("tags", [[], ["v1.0.0"], ["1.1.0", "v1.1.0-rc1"]])
def test_a_release_of_a_commit_without_its_tag_is_refused(tags: list[str]):
    with pytest.raises(ReleaseError, match=r"does not have the tag v1\.1\.0; check out v1\.1\.0, or create it once"):
        check_released("1.1.0", CHANGELOG, tags)


def test_release_notes_have_one_line_for_each_change():
    assert release_notes(CHANGELOG, "1.0.0").splitlines() == [
        "# Greenroom 1.0.0 - 2027-01-01",
        "",
        "### Added",
        "- All.",
    ]


def test_long_release_notes_are_shortened_in_their_longest_group():
    lines = release_notes(CHANGELOG, "1.1.0").splitlines()
    assert len(lines) == MAX_LINES
    assert lines[:4] == ["# Greenroom 1.1.0 - 2027-02-01", "", "### Upgrade notes", "- Read the page first."]
    assert {"Sessions:", "- Change 0 goes on.", "Users:", "- Groups.", "### Security", "- Keys."} <= set(lines)
    kept = sum(line.startswith("- Change") for line in lines)
    assert lines[-1] == f"The changelog has {100 - kept} more changes."


def test_upgrade_notes_are_never_shortened():
    many = CHANGELOG.replace("  first.\n", "  first.\n" + "".join(f"- Step {number}.\n" for number in range(45)))
    assert release_notes(many, "1.1.0").count("- Step") == 45


def test_a_version_without_changes_is_refused():
    with pytest.raises(ReleaseError, match=r"no section 1\.1; name the section"):
        release_notes(CHANGELOG, "1.1")


def test_the_changelog_of_this_version_makes_release_notes():
    assert len(release_notes((ROOT / "CHANGELOG.md").read_text(), "0.1.0").splitlines()) <= MAX_LINES


def test_the_images_of_the_roles_get_the_version():
    assert pin_image_tags("image: greenroom/api:latest\nimage: greenroom/desktop:xfce", "1.2") == (
        "image: greenroom/api:1.2\nimage: greenroom/desktop:xfce"
    )


def test_another_image_with_the_tag_latest_is_refused():
    with pytest.raises(ReleaseError, match="not an image of a role"):
        pin_image_tags("image: acme/api:latest", "1.2")


def test_the_archive_has_every_file_that_compose_and_kustomize_read():
    files = deployment_files(ROOT, "1.2")
    needed = {"compose/compose.yaml", "compose/services.yaml", "compose/.env.example", "systemd/greenroom.sysusers"}
    assert needed <= set(files)
    read = {
        os.path.normpath(Path(name).parent / other)
        for name, text in files.items()
        if name.endswith("kustomization.yaml")
        for kind in ("resources", "patchesStrategicMerge")
        for other in yaml.safe_load(text).get(kind, ())
    }
    assert "kubernetes/parts/roles/api.yaml" in read
    assert read <= set(files)
    assert b":latest" not in b"".join(files.values())


def test_equal_files_give_equal_archives():
    files = {"b": b"2", "a/c": b"1"}
    packed = archive("folder", files, 86400)
    assert packed == archive("folder", dict(reversed(files.items())), 86400)
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        entries = [(entry.name, entry.mtime, entry.mode, entry.uid) for entry in tar]
    assert entries == [("folder/a/c", 86400, 0o644, 0), ("folder/b", 86400, 0o644, 0)]


def test_sha256sum_accepts_the_checksums_and_finds_a_change(tmp_path: Path):
    (tmp_path / "file").write_text("text")
    (tmp_path / "SHA256SUMS").write_text(checksums(tmp_path))
    command = ("sha256sum", "--check", "SHA256SUMS")
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    (tmp_path / "file").write_text("other")
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 1
