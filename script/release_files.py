"""Files of a release that script/release writes: the archive for deployments, the release notes and the checksums.

Each command reads the checkout in the current folder: python -m script.release_files COMMAND ARGUMENT...
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Final

MAX_LINES: Final = 60
"""The highest number of lines of the release notes."""
DEPLOYMENT: Final = (
    "deploy/compose/*.yaml",
    "deploy/compose/.env.example",
    "deploy/kubernetes/**/*.yaml",
    "deploy/systemd/*",
)
_IMAGE: Final = re.compile(r"(image: greenroom/\w+):latest\b")
_ADDED_LINK: Final = re.compile(r" \(\[[^\]]*\]\([^)]*\)\)")
_LINK: Final = re.compile(r"\[([^\]]*)\]\([^)]*\)")


class ReleaseError(Exception):
    """The release cannot be built; the message has the reason and the remedy."""


def check_version(version: str, project: str) -> None:
    """Raises ReleaseError: pyproject.toml, whose text is `project`, has another version."""
    if (current := tomllib.loads(project)["project"]["version"]) != version:
        sentence = (
            f"the version in pyproject.toml is {current}; set it to {version} and commit it, or release {current}"
        )
        raise ReleaseError(sentence)


def check_released(version: str, changelog: str, tags: Collection[str]) -> None:
    """Check that a version contains what its notes say, and that it has one commit. `tags` are those of the commit.

    Raises:
        ReleaseError: the changelog has changes that are in no version, or the commit does not have the tag.
    """
    if re.search(r"^## Unreleased\n+(?!## )\S", changelog, flags=re.MULTILINE):
        raise ReleaseError(
            f"CHANGELOG.md has changes below 'Unreleased'; move them to the section {version} or to a new version, or"
            " use --unreleased for a build that is not published"
        )
    if (tag := f"v{version}") not in tags:
        raise ReleaseError(
            f"the last commit does not have the tag {tag}; check out {tag}, or create it once with `git tag {tag}`, or"
            " use --unreleased for a build that is not published"
        )


def pin_image_tags(text: str, version: str) -> str:
    """Replace the tag `latest` of the images of the roles. Raises ReleaseError: another image has this tag."""
    result = _IMAGE.sub(rf"\1:{version}", text)
    if ":latest" in result:
        raise ReleaseError("an image with the tag latest in deploy/ is not an image of a role; give it another tag")
    return result


def deployment_files(checkout: Path, version: str) -> dict[str, bytes]:
    """The files of the archive for deployments by their paths below `deploy/`."""
    paths = {path for pattern in DEPLOYMENT for path in checkout.glob(pattern) if path.is_file()}
    files = {
        path.relative_to(checkout / "deploy").as_posix(): pin_image_tags(path.read_text(), version) for path in paths
    }
    return {name: text.encode() for name, text in files.items()}


def archive(folder: str, files: Mapping[str, bytes], time: int) -> bytes:
    """A tar.gz with these files below `folder`. `time` is their time in seconds; equal files give equal bytes."""
    content = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=content, mode="wb", mtime=time) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as tar,
    ):
        for name in sorted(files):
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size, entry.mtime, entry.mode = len(files[name]), time, 0o644
            tar.addfile(entry, io.BytesIO(files[name]))
    return content.getvalue()


def release_notes(changelog: str, version: str) -> str:
    """The changes of a version, one a line, without links. If they are too many, the longest groups are shortened, but
    not the upgrade notes. Raises ReleaseError: the changelog has no such version.
    """
    heading, changes = _section(changelog, version)
    groups = [part.splitlines() for part in re.split(r"\n(?=[^-])", changes)]
    removed = 0
    while sum(map(_height, groups)) + 3 > MAX_LINES:
        max((group for group in groups if not group[0].startswith("### Upgrade")), key=len).pop()
        removed += 1
    lines = [f"# Greenroom {heading}"]
    for group in groups:
        lines += ["", *group] if _height(group) > len(group) else group
    lines += ["", f"The changelog has {removed} more changes."] if removed else []
    return "\n".join(lines) + "\n"


def _height(group: list[str]) -> int:
    """The number of lines of a group. A section begins with an empty line."""
    return len(group) + group[0].startswith("#")


def _section(changelog: str, version: str) -> tuple[str, str]:
    """The heading of a version, and its section: headings, names of groups, and each change in one line."""
    for part in re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]:
        heading, _, text = part.partition("\n")
        if heading.split()[0] == version:
            changes = re.sub(r"\n\n+", "\n", re.sub(r"\n +", " ", text.strip()))
            return heading, _LINK.sub(r"\1", _ADDED_LINK.sub("", changes))
    raise ReleaseError(f"CHANGELOG.md has no section {version}; name the section of its changes '## {version} - DATE'")


def checksums(folder: Path) -> str:
    """A line for each file of a folder in the format of sha256sum."""
    files = sorted(path for path in folder.iterdir() if path.name != "SHA256SUMS")
    return "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)


def _check(version: str, notes: str) -> None:
    changelog = Path("CHANGELOG.md").read_text()
    check_version(version, Path("pyproject.toml").read_text())
    release_notes(changelog, notes)
    if notes == version:
        tags = subprocess.run(("git", "tag", "--points-at", "HEAD"), capture_output=True, text=True, check=True)
        check_released(version, changelog, tags.stdout.split())


def _write_deployment(version: str, folder: str) -> None:
    name = f"greenroom-deploy-{version}"
    content = archive(name, deployment_files(Path(), version), int(os.environ["SOURCE_DATE_EPOCH"]))
    Path(folder, f"{name}.tar.gz").write_bytes(content)


def _write_notes(version: str, folder: str) -> None:
    Path(folder, "RELEASE-NOTES.md").write_text(release_notes(Path("CHANGELOG.md").read_text(), version))


def _write_checksums(folder: str) -> None:
    Path(folder, "SHA256SUMS").write_text(checksums(Path(folder)))


COMMANDS: Final[Mapping[str, Callable[..., None]]] = {
    "check": _check,
    "deployment": _write_deployment,
    "notes": _write_notes,
    "checksums": _write_checksums,
}

if __name__ == "__main__":
    try:
        COMMANDS[sys.argv[1]](*sys.argv[2:])
    except ReleaseError as error:
        sys.exit(f"script/release: {error}")
