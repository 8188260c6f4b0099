"""The content of the demo: a university with two zones, its hosts, groups, workspaces and pools.

Texts that users see are in English and in German. Names of zones, hosts and images are the same in both.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from greenroom.core.access.group_settings import SettingValues

Language = Literal["en", "de"]

MAIN: Final = "main-campus"
MEDICAL: Final = "medical-campus"
ZONES: Final = (MAIN, MEDICAL)
REGISTRY: Final = "registry.uni.example/lab"
GB: Final = 1_000_000_000
CORES: Final = 48
"""The cores that each host offers."""


@dataclass(frozen=True, slots=True)
class Words:
    """A text in both languages."""

    en: str
    de: str

    def text(self, language: Language) -> str:
        return self.de if language == "de" else self.en


UNIVERSITY: Final = Words("University of Hohenfels", "Universität Hohenfels")
LOGIN_NOTICE: Final = Words(
    "This is a demo with invented data. Its sessions are simulated.",
    "Dies ist eine Demo mit erfundenen Daten. Ihre Sitzungen sind simuliert.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSize:
    """The number of objects of each kind."""

    managers: int
    hosts: dict[str, int]
    """Zone → its hosts. The first of each zone belongs to the instance; the process `hosts` runs the others."""
    people: int
    workspaces: int
    pooled: float
    """The fraction of the number of sessions in `POOLS`."""
    sessions: int
    leases: int
    launches: int
    log_rows: int
    counts_as: datetime | None = None
    """The time of the week for the rhythm of launches; None = the present time."""


FULL: Final = DemoSize(
    managers=3,
    hosts={MAIN: 8, MEDICAL: 4},
    people=60,
    workspaces=25,
    pooled=1.0,
    sessions=80,
    leases=9,
    launches=3000,
    log_rows=4000,
)
SMALL: Final = DemoSize(
    managers=1,
    hosts={MAIN: 3, MEDICAL: 1},
    people=12,
    workspaces=6,
    pooled=0.25,
    sessions=8,
    leases=2,
    launches=150,
    log_rows=200,
    counts_as=datetime(2026, 3, 17, 10, 24, tzinfo=UTC),  # so that pictures show the same at each time
)


def hostname(zone: str, number: int) -> str:
    """Return the name of a host, such as `mc-host-01`. `number` counts from 1."""
    return f"{'mc' if zone == MAIN else 'med'}-host-{number:02}"


def manager_host(zone: str, number: int) -> str:
    """Return the name of the host of a Manager. `number` counts all Managers from 0."""
    return f"{'mc' if zone == MAIN else 'med'}-manager-{number % FULL.managers + 1}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoGroup:
    """A group. The key `administrators` names the group of this name that each installation has."""

    key: str
    title: Words
    purpose: Words
    priority: int
    permissions: tuple[str, ...] = ()
    settings: SettingValues


GROUPS: Final = (
    DemoGroup(
        key="teaching",
        title=Words("Teaching Staff", "Lehrende"),
        purpose=Words("Lecturers and professors", "Dozentinnen, Dozenten und Professuren"),
        priority=40,
        permissions=("user", "sessions_view"),
        settings={"max_kasms_per_user": 10, "allow_kasm_sharing": True, "allow_guest_links": True},
    ),
    DemoGroup(
        key="students",
        title=Words("Students", "Studierende"),
        purpose=Words("All enrolled students", "Eingeschriebene Studierende"),
        priority=60,
        settings={"max_kasms_per_user": 4, "session_time_limit": 43_200, "allow_kasm_sharing": True},
    ),
    DemoGroup(
        key="computer-science",
        title=Words("Computer Science", "Informatik"),
        purpose=Words("Students and labs of the department", "Studierende und Labore des Fachbereichs"),
        priority=50,
        settings={"max_kasms_per_user": 6, "allow_zone_selection": True},
    ),
    DemoGroup(
        key="medicine",
        title=Words("Medical School", "Medizinische Fakultät"),
        purpose=Words("Sessions run in the medical campus", "Sitzungen laufen im Campus Medizin"),
        priority=50,
        settings={"max_kasms_per_user": 4, "allow_zone_selection": True, "watermark": True},
    ),
    DemoGroup(
        key="help-desk",
        title=Words("Help Desk", "Service-Desk"),
        purpose=Words("Looks at sessions and helps their users", "Sieht Sitzungen und hilft den Benutzern"),
        priority=30,
        permissions=("user", "sessions_view", "sessions_modify", "users_view", "agents_view", "managers_view"),
        settings={},
    ),
    DemoGroup(
        key="examiners",
        title=Words(
            "External Examiners of the Faculty of Mathematics and Natural Sciences",
            "Externe Prüferinnen und Prüfer der Mathematisch-Naturwissenschaftlichen Fakultät",
        ),
        purpose=Words("Access during examinations only", "Zugang nur während der Prüfungen"),
        priority=70,
        settings={"max_kasms_per_user": 1, "allow_kasm_downloads": False, "allow_kasm_clipboard_down": False},
    ),
)
EVERYONE: Final[SettingValues] = {
    "allow_kasm_uploads": True,
    "allow_kasm_downloads": True,
    "allow_kasm_clipboard_down": True,
    "allow_kasm_clipboard_up": True,
    "allow_kasm_audio": True,
    "allow_zone_selection": True,
    "keepalive_expiration": 30 * 86_400,
}
"""The settings of the group All Users. Sessions of the demo have no viewer, so they may run for a long time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoWorkspace:
    """A workspace. With `entry`, the catalogue of Greenroom has it, and the other fields have no effect. `cold_s` is
    the usual time of a start on demand."""

    key: str
    entry: str | None = None
    name: Words = Words("", "")
    description: Words = Words("", "")
    image: str = ""
    cores: float = 2.0
    memory: int = 4 * GB
    category: Words = Words("", "")
    groups: tuple[str, ...] = ()
    weight: int = 1
    """The relative number of launches."""
    cold_s: float = 8.0


def _entry(name: str, weight: int, cold_s: float = 6.0) -> DemoWorkspace:
    return DemoWorkspace(key=name, entry=name, weight=weight, cold_s=cold_s)


_SCIENCE: Final = Words("Science", "Wissenschaft")
_DESIGN: Final = Words("Design", "Gestaltung")
_PROGRAMMING: Final = Words("Programming", "Programmierung")
_TEACHING: Final = Words("Teaching", "Lehre")

WORKSPACES: Final = (
    DemoWorkspace(key="desktop", entry="desktop", weight=30, cold_s=7.0),
    _entry("firefox", 18),
    _entry("jupyter", 14, 5.0),
    _entry("code", 12, 5.5),
    DemoWorkspace(
        key="cad",
        name=Words("CAD Workstation, autumn term", "CAD-Arbeitsplatz, Wintersemester"),
        description=Words("Parts and assemblies in three dimensions.", "Bauteile und Baugruppen in drei Dimensionen."),
        image=f"{REGISTRY}/cad:2026-autumn",
        cores=6,
        memory=12 * GB,
        category=_DESIGN,
        weight=8,
        cold_s=14.0,
    ),
    DemoWorkspace(
        key="imaging",
        name=Words("Medical Imaging", "Medizinische Bildgebung"),
        description=Words("Tomography series and segmentation.", "Tomographie-Serien und Segmentierung."),
        image=f"{REGISTRY}/imaging:5.8",
        cores=8,
        memory=16 * GB,
        category=_SCIENCE,
        groups=("medicine", "teaching"),
        weight=7,
        cold_s=16.0,
    ),
    DemoWorkspace(
        key="statistics",
        name=Words("Statistics", "Statistik"),
        description=Words("R with the packages of the lectures.", "R mit den Paketen der Vorlesungen."),
        image=f"{REGISTRY}/statistics:4.5",
        cores=2,
        memory=6 * GB,
        category=_SCIENCE,
        weight=9,
        cold_s=9.0,
    ),
    _entry("libreoffice", 10),
    _entry("chromium", 9),
    _entry("gimp", 5),
    _entry("inkscape", 4),
    _entry("terminal", 6, 3.0),
    _entry("thunderbird", 2),
    _entry("kiosk", 1),
    _entry("remote", 1),
    DemoWorkspace(
        key="matrix",
        name=Words("Matrix Laboratory", "Matrix-Labor"),
        description=Words("Numerical computing with toolboxes.", "Numerische Berechnungen mit Toolboxen."),
        image=f"{REGISTRY}/matrix:2026a",
        cores=4,
        memory=8 * GB,
        category=_SCIENCE,
        weight=6,
        cold_s=12.0,
    ),
    DemoWorkspace(
        key="maps",
        name=Words("Geographic Information System", "Geoinformationssystem"),
        description=Words("Maps, layers and terrain models.", "Karten, Ebenen und Geländemodelle."),
        image=f"{REGISTRY}/maps:3.44",
        cores=3,
        memory=8 * GB,
        category=_SCIENCE,
        weight=4,
        cold_s=11.0,
    ),
    DemoWorkspace(
        key="java",
        name=Words("Java Programming, first year", "Java-Programmierung, erstes Jahr"),
        description=Words("The environment of the introduction.", "Die Umgebung der Einführung."),
        image=f"{REGISTRY}/java:25",
        category=_PROGRAMMING,
        groups=("computer-science", "teaching"),
        weight=8,
        cold_s=8.0,
    ),
    DemoWorkspace(
        key="security",
        name=Words("Security Lab (isolated network)", "Sicherheitslabor (getrenntes Netz)"),
        description=Words("Exercises without access to the internet.", "Übungen ohne Zugang zum Internet."),
        image=f"{REGISTRY}/security:2026.3",
        category=_PROGRAMMING,
        groups=("computer-science",),
        weight=4,
    ),
    DemoWorkspace(
        key="three-dimensions",
        name=Words("3D Animation", "3D-Animation"),
        description=Words("Models, materials and rendering.", "Modelle, Materialien und Rendern."),
        image=f"{REGISTRY}/animation:5.1",
        cores=6,
        memory=12 * GB,
        category=_DESIGN,
        weight=3,
        cold_s=13.0,
    ),
    DemoWorkspace(
        key="typesetting",
        name=Words("Papers and Reports", "Abschlussarbeiten und Aufsätze"),
        description=Words("LaTeX with the templates of the university.", "LaTeX mit den Vorlagen der Universität."),
        image=f"{REGISTRY}/typesetting:2026",
        category=_TEACHING,
        weight=5,
    ),
    DemoWorkspace(
        key="exam",
        name=Words("Examination", "Prüfung"),
        description=Words("Only the pages of the examination system.", "Nur die Seiten des Prüfungssystems."),
        image=f"{REGISTRY}/exam:2026.2",
        cores=1,
        memory=2 * GB,
        category=_TEACHING,
        groups=("examiners", "teaching"),
        weight=2,
        cold_s=4.0,
    ),
    DemoWorkspace(
        key="chemistry",
        name=Words("Molecules and Spectra", "Moleküle und Spektren"),
        description=Words("Structures, reactions and spectra.", "Strukturen, Reaktionen und Spektren."),
        image=f"{REGISTRY}/chemistry:12",
        cores=3,
        memory=6 * GB,
        category=_SCIENCE,
        weight=3,
    ),
    DemoWorkspace(
        key="circuits",
        name=Words("Circuit Design", "Schaltungsentwurf"),
        description=Words("Schematics, boards and simulation.", "Schaltpläne, Platinen und Simulation."),
        image=f"{REGISTRY}/circuits:9",
        category=_DESIGN,
        weight=3,
    ),
    DemoWorkspace(
        key="sound",
        name=Words("Sound Studio", "Tonstudio"),
        description=Words("Recording and mixing of several tracks.", "Aufnahme und Mischung mehrerer Spuren."),
        image=f"{REGISTRY}/sound:3.7",
        category=_DESIGN,
        weight=2,
    ),
)
"""All workspaces; a small demo has the first ones."""


@dataclass(frozen=True, slots=True)
class DemoPool:
    """A pool of staged sessions."""

    workspace: str
    zone: str
    sessions: int
    hours: float = 8.0
    paused: bool = False


POOLS: Final = (
    DemoPool("desktop", MAIN, 8),
    DemoPool("firefox", MAIN, 5),
    DemoPool("jupyter", MAIN, 4),
    DemoPool("code", MAIN, 4),
    DemoPool("statistics", MAIN, 3, 12.0),
    DemoPool("desktop", MEDICAL, 4),
    DemoPool("imaging", MEDICAL, 2, 24.0),
    DemoPool("libreoffice", MAIN, 3, paused=True),
)
SHORT_OF_IMAGE: Final = DemoPool("cad", MAIN, 4)
"""A pool of the incident, whose image cannot be pulled."""
SHORT_OF_CORES: Final = 24
"""The number of sessions of the pool of medical imaging in the incident, for which the zone has too few cores."""
