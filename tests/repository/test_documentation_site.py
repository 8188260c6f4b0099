"""The documentation site: it is built without a warning, its navigation has every page, and it needs no other host."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from urllib.parse import unquote

import pytest

from greenroom.kit.program import version

pytestmark = [pytest.mark.program, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
HOME = "docs/README.html"
_LINK = re.compile(r'<(a|link|script|img)\b[^>]*?\s(?:href|src)="([^"]*)"')
_NAVIGATION = re.compile(r'<div class="sidebar-tree">(.*?)</aside>', re.DOTALL)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built version."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "0.0.1").mkdir()
    done = subprocess.run([ROOT / "script/docs", "--to", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in folder.iterdir()} == {"0.0.1", version(), "index.html"}
    assert f"url={version()}/{HOME}" in (folder / "index.html").read_text()
    return folder / version()


def links(page: Path) -> list[tuple[str, str]]:
    """The element and the address of each link, script, style and picture of a page."""
    return _LINK.findall(page.read_text())


def target_of(page: Path, address: str) -> tuple[Path, str]:
    """The file and the anchor of a relative address."""
    path, _, anchor = unquote(address).partition("#")
    return (page.parent / path.partition("?")[0]).resolve() if path else page, anchor


def test_every_page_is_in_the_navigation_with_the_version(site: Path):
    home = site / HOME
    (navigation,) = _NAVIGATION.findall(home.read_text())
    listed = {target_of(home, address)[0] for address in re.findall(r'href="([^"#]+)"', navigation)}
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    built = {(site / page.relative_to(ROOT)).with_suffix(".html") for page in pages}
    assert built - listed == {home}
    assert f"Greenroom {version()}</title>" in home.read_text()


def test_all_links_resolve(site: Path):
    pages = {page.resolve(): page.read_text() for page in site.rglob("*.html")}
    targets = {
        (page, *target_of(page, address))
        for page in pages
        for _, address in links(page)
        if not re.match(r"[a-z]+:", address)
    }
    assert len(targets) > len(pages)
    assert [where for where in targets if not where[1].exists()] == []
    assert [
        where for where in targets if where[2] and where[1] in pages and f'id="{where[2]}"' not in pages[where[1]]
    ] == []


def test_the_links_of_the_console_lead_to_sections_of_pages(site: Path):
    sources = "\n".join(path.read_text() for path in (ROOT / "web/src").rglob("*.tsx"))
    guides = re.findall(r'"guide", "([^"]+)"', (ROOT / "src/greenroom/core/diagnostics/attention.py").read_text())
    addresses = {*re.findall(r"/help/([\w./#-]+)", sources), *(f"docs/howto/{guide}" for guide in guides)}
    assert guides
    assert addresses >= {"docs/howto/back-up.html", "docs/howto/users-and-groups.html#import-users"}
    for address in addresses:
        path, _, anchor = address.partition("#")
        assert (site / path).is_file(), address
        assert not anchor or f'id="{anchor}"' in (site / path).read_text(), address


def test_a_browser_loads_nothing_from_other_hosts_and_no_inline_script_or_style(site: Path):
    for page in site.rglob("*.html"):
        loaded = [address for element, address in links(page) if element != "a"]
        assert loaded
        assert [address for address in loaded if re.match(r"[a-z]+:|//", address)] == []
        assert re.findall(r"<script(?![^>]* src=)[^>]*>| on[a-z]+=\"", page.read_text()) == []
        assert re.findall(r"<style| style=\"", page.read_text()) == []
    styles = "".join(style.read_text() for style in site.rglob("*.css"))
    assert re.findall(r"@import|url\(['\"]?(?:https?:)?//", styles) == []
