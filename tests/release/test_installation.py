"""The wheels of a release on a machine with a minimal Debian: the commands of the page install them, start the first
desktop, and remove everything.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.commands_of_pages import ROOT, blocks_of
from tests.release.conftest import RELEASES
from tests.support.bare_machines import Machine, new_machine
from tests.support.machine_states import State, read_state

pytestmark = pytest.mark.timeout(3600)

PAGE = ROOT / "docs/howto/install-from-packages.md"
WITHOUT = ("gcc", "cc", "make", "node", "npm", "git")
LAUNCH = "greenroom sessions launch Desktop --user admin@greenroom.local --wait"
ATTEMPTS = {
    "architecture": "linux32 greenroom host setup",
    "no root": "setpriv --reuid=65534 --clear-groups /opt/greenroom/bin/greenroom host setup",
    "no setup": "greenroom up",
    "no network": "unshare --net greenroom host setup",
    "full disk": "mount -t tmpfs -o size=4m full /var/cache/apt/archives; greenroom host setup",
}
"""Bad input → a command that fails because of it."""
INTERRUPT = (
    "umount /var/cache/apt/archives; cd /tmp; apt-get --quiet=2 download mmdebstrap; dpkg --unpack mmdebstrap*.deb"
)

REMAINS = re.compile(
    r"^\+ (/(etc/docker|opt/containerd|var/www|run/adduser|run/mount)\b|docker0$|ip6?tables-nft-save: )"
    r"|^[+-] /etc/(group|gshadow) "
)
"""Objects of Debian's packages that remain without them."""


@dataclass(frozen=True, slots=True)
class Course:
    """The outputs of the commands, their durations in seconds, and the states of the machine before and after them."""

    outputs: dict[str, str]
    times: dict[str, float]
    refusals: dict[str, str]
    bare: State
    prepared: State
    uninstalled: State
    undone: State


def commands_of(section: str) -> list[str]:
    """The commands of a section of the page."""
    return [block.commands for block in blocks_of(PAGE) if block.section == section]


@pytest.fixture(scope="module", params=RELEASES, ids=lambda release: Path(release).stem)
def machine(request: pytest.FixtureRequest, release: Path) -> Iterator[Machine]:
    """A machine whose folder /root/release has the wheels and run.txt."""
    with new_machine(request.param) as machine:
        folder = machine.root / "root/release"
        folder.mkdir()
        for file in (release / "run.txt", *release.glob("*.whl")):
            shutil.copy(file, folder)
        yield machine


@pytest.fixture(scope="module")
def course(machine: Machine) -> Course:
    """Execute the commands of the page in order, and attempts with bad input before the setup."""
    outputs, times = dict[str, str](), dict[str, float]()

    def timed(title: str, commands: str) -> None:
        began = time.monotonic()
        outputs[title] = machine.run(commands)
        times[title] = time.monotonic() - began

    machine.run("apt-get --quiet=2 update; apt-get --quiet=2 --yes install python3-venv")
    bare = read_state(machine)
    timed("install the wheels", f"cd release\n{commands_of('2. Install the command')[0]}")
    refusals = {title: _refused(machine, command) for title, command in ATTEMPTS.items()}
    machine.run(INTERRUPT)
    timed("greenroom host setup", commands_of("3. Prepare the machine")[0])
    outputs["second setup"] = machine.run("greenroom host setup")
    prepared = read_state(machine)
    timed("greenroom up", commands_of("4. Start Greenroom")[0])
    timed("first desktop", LAUNCH)
    outputs["doctor"] = machine.run("greenroom doctor")
    uninstall, *others = commands_of("Uninstall")[0].splitlines()
    outputs["uninstall"] = machine.run(f"{uninstall} --accounts --yes")
    uninstalled = read_state(machine)
    timed("uninstall", "\n".join(others))
    return Course(outputs, times, refusals, bare, prepared, uninstalled, read_state(machine))


def _refused(machine: Machine, command: str) -> str:
    done = machine.attempt(command)
    assert done.returncode == 1, done.stdout
    return done.stdout


def test_the_first_desktop_starts_without_a_checkout(
    course: Course, machine: Machine, record_property: Callable[[str, object], None]
):
    for title, seconds in course.times.items():
        record_property(title, seconds)
    assert "Greenroom is ready at https://127.0.0.1:8443" in course.outputs["greenroom up"]
    assert re.search(r"^operational_status +running", course.outputs["first desktop"], re.MULTILINE)
    found = machine.run(f"for name in {' '.join(WITHOUT)}; do command -v $name || true; done")
    assert found == ""


def test_the_setup_lists_its_changes_and_is_repeatable(course: Course):
    listed, made = course.outputs["greenroom host setup"].split("Complete the interrupted installation", 2)[1:]
    assert listed.splitlines()[:-1] == made.splitlines()[:-1]
    assert listed.splitlines()[-1].startswith("Nothing was changed")
    assert made.splitlines()[-1].startswith("This host is ready")
    assert "Install docker.io: " in listed
    assert course.outputs["second setup"].startswith("This host is ready")


def test_an_uninstalled_instance_leaves_nothing(course: Course):
    assert course.prepared.changes_to(course.uninstalled) == {}


def test_an_undone_setup_leaves_what_the_page_lists(course: Course):
    changes = course.bare.changes_to(course.undone)
    found = {kind: {text for text in texts if not REMAINS.search(text)} for kind, texts in changes.items()}
    assert {kind: texts for kind, texts in found.items() if texts} == {}


@pytest.mark.parametrize(
    ("attempt", "sentence"),
    [
        ("architecture", "does not support the architecture i686"),
        ("no root", "requires root; run `sudo /opt/greenroom/bin/greenroom host setup`"),
        ("no setup", "run `sudo greenroom host setup`"),
        ("no network", "apt-get"),
        ("full disk", "enough free space"),
    ],
)
def test_bad_input_is_named(course: Course, attempt: str, sentence: str):
    assert sentence in course.refusals[attempt]
