"""The people of the demo. Their names are invented. Some are long, and some are written from right to left.

All scripts have glyphs in the fonts that Chromium requires on Debian, so pictures need no further fonts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DOMAIN: Final = "uni.example"


@dataclass(frozen=True, slots=True)
class DemoPerson:
    """A user. `groups` are keys of `plan.GROUPS`."""

    login: str
    first_name: str
    last_name: str
    groups: tuple[str, ...]

    @property
    def username(self) -> str:
        return f"{self.login}@{DOMAIN}"


def _people(groups: tuple[str, ...], lines: str) -> tuple[DemoPerson, ...]:
    """Return the people in `lines`, each as `login | first name | last name`."""
    rows = [[part.strip() for part in line.split("|")] for line in lines.strip().splitlines()]
    return tuple(DemoPerson(login, first, last, groups) for login, first, last in rows)


_ADMINISTRATORS: Final = _people(
    ("administrators",),
    """
    lena.hoffmann | Lena | Hoffmann
    tomasz.wisniewski | Tomasz | Wiśniewski
    """,
)

_HELP_DESK: Final = _people(
    ("help-desk",),
    """
    aisha.mensah | Aisha | Mensah
    jonas.lindqvist | Jonas | Lindqvist
    marta.kowalczyk | Marta | Kowalczyk
    """,
)

_TEACHING: Final = _people(
    ("teaching",),
    """
    ingrid.solberg | Ingrid | Solberg
    rafael.oliveira | Rafael | de Oliveira Figueiredo
    yuki.tanaka | Yuki | Tanaka
    samir.haddad | سمير | حداد
    claire.dubois | Claire | Dubois-Lefèvre
    nikos.papadopoulos | Νίκος | Παπαδόπουλος
    wang.xiuying | Xiùyīng | Wáng
    hartmut.von.wolkenstein | Karl-Friedrich Hartmut | Graf von Wolkenstein-Trostburg zu Hohenfels
    """,
)

_COMPUTER_SCIENCE: Final = _people(
    ("students", "computer-science"),
    """
    ben.carter | Ben | Carter
    mia.schneider | Mia | Schneider
    farid.rahimi | فرید | رحیمی
    olga.petrova | Ольга | Петрова
    noa.levi | נועה | לוי
    diego.fernandez | Diego | Fernández Castro
    linh.nguyen | Linh | Nguyễn Thị Thùy
    emil.novak | Emil | Novák
    chidi.okafor | Chidi | Okafor
    sofia.rossi | Sofia | Rossi
    arjun.patel | Arjun | Patel
    freya.andersen | Freya | Andersen
    minjun.kim | Min-jun | Kim
    lukas.bauer | Lukas | Bauer
    zeynep.celik | Zeynep | Çelik
    oisin.oshea | Oisín | Ó Sé
    anan.srisai | Anan | Srisai
    """,
)

_MEDICINE: Final = _people(
    ("students", "medicine"),
    """
    hannah.weber | Hannah | Weber
    omar.elsayed | عمر | السيد
    julia.lang | Julia | Lang
    mateo.garcia | Mateo | García
    priya.sharma | Priya | Sharma
    eva.horvath | Éva | Horváth
    david.cohen | דוד | כהן
    leila.benali | Leïla | Benali
    felix.brandt | Felix | Brandt
    grace.adeyemi | Grace | Adeyemi
    ivan.horvat | Ivan | Horvat
    thea.nielsen | Thea | Nielsen
    mehmet.demir | Mehmet | Demir
    """,
)

_STUDENTS: Final = _people(
    ("students",),
    """
    alice.martin | Alice | Martin
    paul.richter | Paul | Richter
    sara.johansson | Sara | Johansson
    luca.moretti | Luca | Moretti
    amelie.fischer | Amélie | Fischer
    kwame.boateng | Kwame | Boateng
    nina.jovanovic | Nina | Jovanović
    tariq.aziz | طارق | عزيز
    clara.meyer | Clara | Meyer
    hugo.lefevre | Hugo | Lefèvre
    dorota.zielinska | Dorota | Zielińska
    sven.eriksson | Sven | Eriksson
    beatriz.carvalho | Beatriz | Carvalho
    viktor.dragomir | Viktor | Dragomir
    """,
)

_EXAMINERS: Final = _people(
    ("examiners",),
    """
    margaret.whitfield | Margaret | Whitfield
    bartholomaeus.oberhuber | Bartholomäus Maximilian | Oberhuber-Schwarzenbacher
    sunniva.aasgaard | Sunniva | Aasgaard
    """,
)

PEOPLE: Final = (
    *_ADMINISTRATORS,
    *_HELP_DESK,
    *_TEACHING,
    *_COMPUTER_SCIENCE,
    *_MEDICINE,
    *_STUDENTS,
    *_EXAMINERS,
)
"""All people. The first of each group are also in a small demo."""

LOG_INS: Final = ("lena.hoffmann", "aisha.mensah", "ingrid.solberg", "ben.carter", "noa.levi", "hannah.weber")
"""The people who have a password: an administrator, the help desk, a teacher, and students."""


def some_people(number: int) -> tuple[DemoPerson, ...]:
    """Return `number` people: those of `LOG_INS`, and others from all groups, in the order of `PEOPLE`."""
    others = [person for person in PEOPLE if person.login not in LOG_INS]
    step = max(1, len(others) // max(1, number - len(LOG_INS)))
    chosen = {person.login for person in others[::step][: number - len(LOG_INS)]}
    return tuple(person for person in PEOPLE if person.login in LOG_INS or person.login in chosen)
