"""Takes pictures of the console with the demo (`greenroom demo`), for the documentation and for comparisons.

Two runs show the same content: the data have a seed, the clock of the page stands still, the times in answers of the
api are moved by the difference between this clock and the real time, and texts of different lengths are replaced
(`script/fixed_texts.py`). Short ids differ between runs. Comparisons therefore use fingerprints: the brightness of
blocks of 20 pixels. Different digits change few blocks, and a different layout changes many. A fingerprint has 2 kB, so
all of them are one file in the repository.
"""

from __future__ import annotations

import argparse
import base64
import json
import re
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any, Final, Literal

from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, Route, sync_playwright
from script.fixed_texts import with_fixed_texts

ROOT: Final = Path(__file__).parents[1]
DOCS: Final = ROOT / "docs/images"
RESULTS: Final = ROOT / "test-results/pictures"
FINGERPRINTS: Final = ROOT / "tests/browser/fingerprints.json"

NOW: Final = datetime(2026, 3, 17, 10, 24, tzinfo=UTC)
"""The time that all pictures show."""
ZONE: Final = "Europe/Berlin"
MAX_BYTES: Final = 200_000
HEIGHTS: Final = {1440: 900, 390: 844}
"""Width of a window → its height."""
BLOCK: Final = 20
TOLERANCE: Final = 20
"""The difference in brightness, of 255, from which a block counts as different."""
MAX_DIFFERENT: Final = 0.03
"""The fraction of different blocks from which two pictures count as different."""

Theme = Literal["light", "dark"]
Language = Literal["en", "de"]
LOCALES: Final[dict[Language, str]] = {"en": "en-GB", "de": "de-DE"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture of a page. `address` may contain names of `addresses` in braces. `click` is the name of a button to
    press first. `docs`: the picture is docs/images/NAME.png. `compared`: the suite `browser` compares it."""

    name: str
    address: str
    user: str = "lena.hoffmann"
    theme: Theme = "light"
    language: Language = "en"
    width: int = 1440
    click: str = ""
    docs: bool = False
    compared: bool = False

    @property
    def file(self) -> str:
        return f"{self.name}.png"


def _everywhere(name: str, address: str, user: str = "lena.hoffmann") -> tuple[Picture, ...]:
    """Return the pictures of a page in both themes, both languages and both widths."""
    picture = Picture(name=name, address=address, user=user)
    return (
        *_compared(picture),
        replace(picture, name=f"{name}-dark", theme="dark"),
        replace(picture, name=f"{name}-narrow", width=390),
        replace(picture, name=f"{name}-narrow-dark", width=390, theme="dark", compared=True),
    )


def _compared(picture: Picture) -> tuple[Picture, ...]:
    """Return a compared picture, and the same page in the other theme and in the other language."""
    dark = replace(picture, name=f"{picture.name}-dark-de", theme="dark", language="de", docs=False, compared=True)
    return replace(picture, compared=True), dark


PICTURES: Final = (
    *_everywhere("today", "/admin"),
    *_everywhere("sessions", "/admin/sessions?sort=user"),
    *_everywhere("workspaces-of-user", "/", "ben.carter"),
    Picture(name="launcher", address="/", user="ben.carter", docs=True),
    Picture(name="launcher-of-medicine", address="/", user="hannah.weber", theme="dark"),
    Picture(name="launcher-right-to-left-name", address="/", user="noa.levi", width=390),
    *_compared(Picture(name="staging", address="/admin/staging", docs=True)),
    Picture(name="staging-dark", address="/admin/staging", theme="dark"),
    *_compared(Picture(name="staging-config", address="/admin/staging/{pool}")),
    Picture(name="staging-history", address="/admin/staging/{pool}?tab=history", docs=True),
    *_compared(Picture(name="workspace", address="/admin/workspaces/{image}", docs=True)),
    Picture(name="workspaces", address="/admin/workspaces"),
    *_compared(Picture(name="catalogue", address="/admin/catalogue", docs=True)),
    *_compared(Picture(name="users", address="/admin/users?sort=username")),
    Picture(name="users-narrow", address="/admin/users", width=390),
    Picture(name="groups", address="/admin/groups"),
    *_compared(Picture(name="group-settings", address="/admin/groups/{group}?tab=settings", docs=True)),
    *_compared(Picture(name="stage-map", address="/admin/infrastructure/stage-map")),
    Picture(name="stage-map-dark", address="/admin/infrastructure/stage-map", theme="dark"),
    Picture(name="stage-map-narrow", address="/admin/infrastructure/stage-map", width=390),
    Picture(name="zones", address="/admin/infrastructure/zones"),
    Picture(name="managers", address="/admin/infrastructure/managers", docs=True),
    *_compared(Picture(name="agents", address="/admin/infrastructure/agents")),
    Picture(name="agent", address="/admin/infrastructure/agents/{agent}"),
    Picture(name="add-agent", address="/admin/infrastructure/agents", click="Add Agent", docs=True),
    Picture(name="session", address="/admin/sessions/{session}"),
    *_compared(Picture(name="launches", address="/admin/diagnostics/launches")),
    *_compared(Picture(name="logs", address="/admin/diagnostics/logs?level=WARNING", docs=True)),
    Picture(name="audit", address="/admin/diagnostics/audit"),
    Picture(name="webhooks", address="/admin/webhooks"),
    *_compared(Picture(name="settings", address="/admin/settings")),
    Picture(name="account", address="/account", user="ben.carter", compared=True),
)
"""All pictures. Those in German are for comparisons: they have the English names of the demo."""


def in_language(pictures: Sequence[Picture], language: Language) -> list[Picture]:
    """Return the pictures for a demo in a language. German pictures have `-de` at the end of their names."""
    if language == "en":
        return list(pictures)
    english = (picture for picture in pictures if picture.language == "en")
    return [replace(picture, name=f"{picture.name}-{language}", language=language) for picture in english]


# Time ---------------------------------------------------------------------------------------------------------------

_TIME: Final = re.compile(rb'"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|\+00:00)"')


def moved_times(content: bytes, seeded: datetime, now: datetime) -> bytes:
    """Return the JSON of an answer with all its times moved, so that `seeded` becomes `NOW`, in whole seconds. Times
    between `seeded` and `now` become two seconds before `NOW`: they are those of reports, which never end."""

    zero = seeded.replace(microsecond=0)

    def move(found: re.Match[bytes]) -> bytes:
        time = datetime.fromisoformat(found[1].decode()).replace(tzinfo=UTC)
        moved = NOW - timedelta(seconds=2) if zero < time <= now + timedelta(seconds=5) else time + (NOW - zero)
        return f'"{moved:%Y-%m-%dT%H:%M:%S}Z"'.encode()

    return _TIME.sub(move, content)


# Fingerprints -------------------------------------------------------------------------------------------------------


def fingerprint(picture: bytes) -> str:
    """Return the size of a picture and the brightness of its blocks, as text."""
    with Image.open(BytesIO(picture)) as image:
        width, height = image.size
        blocks = image.convert("L").resize((width // BLOCK, height // BLOCK), Image.Resampling.BOX)
    return f"{width}x{height} {base64.b85encode(zlib.compress(blocks.tobytes(), 9)).decode()}"


def difference(first: str, second: str) -> float:
    """Return the fraction of different blocks of two fingerprints; 1 if the sizes differ."""
    (size, blocks), (other_size, other_blocks) = first.split(), second.split()
    if size != other_size:
        return 1.0
    pixels, others = zlib.decompress(base64.b85decode(blocks)), zlib.decompress(base64.b85decode(other_blocks))
    return sum(abs(one - other) > TOLERANCE for one, other in zip(pixels, others, strict=True)) / len(pixels)


def small_png(picture: bytes) -> bytes:
    """Return a PNG with at most `MAX_BYTES`, if necessary with fewer colors. Raises ValueError: it is still larger."""
    for colors in (None, 256, 96, 32):
        if colors is not None:
            with Image.open(BytesIO(picture)) as image:
                reduced = image.convert("RGB").quantize(colors, dither=Image.Dither.NONE)
            output = BytesIO()
            reduced.save(output, "PNG", optimize=True)
            small = output.getvalue()
        else:
            small = picture
        if len(small) <= MAX_BYTES:
            return small
    raise ValueError(f"A picture has {len(small)} bytes with 32 colors; reduce its window.")


def is_blank(picture: bytes) -> bool:
    """True if a picture has a single color."""
    with Image.open(BytesIO(picture)) as image:
        return image.convert("RGB").getcolors(1) is not None


# The browser --------------------------------------------------------------------------------------------------------


class Camera:
    """Takes pictures of a running demo, which `greenroom demo --json` describes."""

    def __init__(self, browser: Browser, demo: dict[str, Any]) -> None:
        self._browser = browser
        self._demo = demo
        self._seeded = datetime.fromisoformat(demo["seeded"])
        self._addresses: dict[str, str] | None = None
        self._contexts: dict[tuple[str, Theme, Language], BrowserContext] = {}

    def take(self, picture: Picture) -> bytes:
        """Return a picture as a PNG."""
        context = self._context(picture)
        page = context.new_page()
        page.set_viewport_size({"width": picture.width, "height": HEIGHTS[picture.width]})
        page.clock.set_fixed_time(NOW)
        objects = self._objects(context) if "{" in picture.address else {}
        page.goto(self._demo["url"] + picture.address.format(**objects))
        page.get_by_role("main").wait_for()
        if picture.click:
            page.get_by_role("button", name=picture.click).first.click()
        content = small_png(still_picture(page))
        page.close()
        return content

    def attention(self) -> list[str]:
        """Return the sentences of *Needs attention* on the page Today."""
        answer = self._context(PICTURES[0]).request.get(f"{self._demo['url']}/api/v1/today")
        return [entry["sentence"] for entry in answer.json()["attention"]]

    def _context(self, picture: Picture) -> BrowserContext:
        """Return the browser of a user, which is logged in and has the files of the console since its first picture."""
        key = (picture.user, picture.theme, picture.language)
        if key not in self._contexts:
            self._contexts[key] = self._new_context(picture)
            self._log_in(self._contexts[key], picture)
        return self._contexts[key]

    def _new_context(self, picture: Picture) -> BrowserContext:
        context = self._browser.new_context(
            ignore_https_errors=True,
            color_scheme=picture.theme,
            locale=LOCALES[picture.language],
            timezone_id=ZONE,
            reduced_motion="reduce",
        )
        context.set_default_timeout(30_000)
        context.route(re.compile(r"/api/v1/(?!events)"), self._answer)
        return context

    def _answer(self, route: Route) -> None:
        answer = route.fetch()
        if "json" not in answer.headers.get("content-type", ""):
            route.fulfill(response=answer)
            return
        content = moved_times(answer.body(), self._seeded, datetime.now(UTC))
        route.fulfill(response=answer, body=with_fixed_texts(content, self._demo))

    def _log_in(self, context: BrowserContext, picture: Picture) -> None:
        username = next(name for name in self._demo["usernames"] if name.startswith(f"{picture.user}@"))
        body = {"username": username, "password": self._demo["password"]}
        answer = context.request.post(f"{self._demo['url']}/api/v1/login", data=body)
        if not answer.ok:
            raise RuntimeError(f"{username} cannot log in to the demo: {answer.text()}")

    def _objects(self, context: BrowserContext) -> dict[str, str]:
        """Return name → id of the objects whose pages have pictures of an administrator."""
        if self._addresses is None:

            def rows(path: str) -> list[dict[str, Any]]:
                return context.request.get(f"{self._demo['url']}/api/v1{path}").json()

            sessions = [each for each in rows("/sessions") if each["status"] == "running" and each["username"]]
            self._addresses = {
                "pool": rows("/staging-configs")[0]["staging_config_id"],
                "image": min(rows("/images"), key=lambda each: each["friendly_name"])["image_id"],
                "group": min(rows("/groups"), key=lambda each: each["priority"])["group_id"],
                "agent": min(rows("/agents"), key=lambda each: each["hostname"])["agent_id"],
                "session": min(sessions, key=lambda each: each["created"])["session_id"],
            }
        return self._addresses


def still_picture(page: Page) -> bytes:
    """Return a picture of the page once it requests nothing, all its pictures and fonts are there, and it looks the
    same twice."""
    page.wait_for_function(
        "() => document.fonts.status === 'loaded' && [...document.images].every(image => image.complete)"
        " && !document.querySelector('main [aria-busy=true]')"
    )
    before = after = b""
    for _ in range(20):
        page.wait_for_timeout(250)
        after = page.screenshot(animations="disabled", caret="hide")
        if after == before and not is_blank(after):
            break
        before = after
    else:
        print(f"{page.url} still changes; the picture shows its present state", file=sys.stderr)
    return after


def read_demo(data: str, *, language: str = "en", incident: bool = False, small: bool = False) -> dict[str, Any]:
    """Start the demo in a folder, if it does not run, and return its description."""
    options = ["--language", language, *(["--incident"] if incident else []), *(["--small"] if small else [])]
    command = [sys.executable, "-m", "greenroom", "demo", "--data", data, "--json", *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def end_demo(data: str) -> None:
    """Remove the demo in a folder."""
    command = [sys.executable, "-m", "greenroom", "demo", "--data", data, "--end"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def take_all(demo: dict[str, Any], pictures: Sequence[Picture]) -> Iterator[tuple[Picture, bytes]]:
    """Take pictures of a running demo."""
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--font-render-hinting=none"]
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=arguments)
        camera = Camera(browser, demo)
        for picture in pictures:
            yield picture, camera.take(picture)
        browser.close()


def compare(name: str, picture: bytes, recorded: dict[str, str]) -> str | None:
    """Return how a picture differs from its recorded fingerprint, as a sentence; None = it does not."""
    if name not in recorded:
        return f"{name} has no fingerprint; record it with script/pictures --record."
    fraction = difference(fingerprint(picture), recorded[name])
    if fraction <= MAX_DIFFERENT:
        return None
    return f"{name} differs in {fraction:.0%} of its blocks; look at {RESULTS.name}/{name}.png."


def main() -> None:
    """Take the pictures that the options select; exit code 1 if a picture differs from its fingerprint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="folder of a demo; default: a new demo, which is removed at the end")
    parser.add_argument("--to", type=Path, default=RESULTS, help="folder of the pictures")
    parser.add_argument("--only", action="append", default=[], help="name of a picture; may be repeated")
    parser.add_argument("--docs", action="store_true", help="only the pictures of docs/images, written there")
    parser.add_argument("--language", choices=tuple(LOCALES), default="en", help="language of a new demo")
    parser.add_argument("--incident", action="store_true", help="a new demo has an incident")
    parser.add_argument("--record", action="store_true", help="store the fingerprints of the compared pictures")
    parser.add_argument("--compare", action="store_true", help="compare with the fingerprints; a new demo is small")
    options = parser.parse_args()
    compared = options.record or options.compare
    chosen = [
        picture
        for picture in in_language(PICTURES, options.language)
        if (not options.only or picture.name in options.only)
        and (picture.docs or not options.docs)
        and (picture.compared or not compared)
    ]
    folder = DOCS if options.docs else options.to
    folder.mkdir(parents=True, exist_ok=True)
    recorded: dict[str, str] = {} if options.record and not options.only else json.loads(FINGERPRINTS.read_text())
    problems: list[str] = []
    with tempfile.TemporaryDirectory(prefix="greenroom-demo-") as temporary:
        Path(temporary).chmod(0o755)  # the accounts of the roles read the folder
        data = options.data or f"{temporary}/demo"
        demo = read_demo(data, language=options.language, incident=options.incident, small=compared)
        try:
            for picture, content in take_all(demo, chosen):
                (folder / picture.file).write_bytes(content)
                print(f"{folder / picture.file}: {len(content)} bytes")
                if options.compare and (problem := compare(picture.name, content, recorded)):
                    problems.append(problem)
                if options.record:
                    recorded[picture.name] = fingerprint(content)
        finally:
            if options.data is None:
                end_demo(data)
    if options.record:
        FINGERPRINTS.write_text(json.dumps(recorded, indent=1, sort_keys=True) + "\n")
    for problem in problems:
        print(problem, file=sys.stderr)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
