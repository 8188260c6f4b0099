"""Sphinx: the documentation site. The source folder is a copy of the pages, with their paths in the checkout."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "Greenroom"  # script/docs adds the version and the title
root_doc = "docs/README"
extensions = ["myst_parser"]
myst_heading_anchors = 6  # as script/prose.py, with the same library
suppress_warnings = ["toc.multiple_toc_parents"]  # a page can belong to a task and to the reference

html_theme = "furo"
templates_path = ["templates"]
html_static_path = ["static"]
html_copy_source = False
html_use_index = False
html_show_copyright = False

INDEXES: Final = ("docs/README", "docs/adr/README")
"""The pages whose links are the navigation, with their headings of the second level as its sections."""
_PAGE_LINK: Final = re.compile(r"\]\(([\w./-]+)\.md\)")
_FOLDER_LINK: Final = re.compile(r"\[([^\]]+)\]\((?:\.\./)+(?:deploy|script|src)[\w./-]*\)")


def prepare(_: Sphinx, name: str, source: list[str]) -> None:
    """Add the navigation to an index page. Replace links to folders of the checkout, which the site does not have, by
    their text. Show diagrams as text: a drawn diagram needs three megabytes of JavaScript.
    """
    source[0] = _FOLDER_LINK.sub(r"\1", source[0]).replace("```mermaid", "```text")
    if name in INDEXES:
        source[0] += "".join(map(_navigation, re.split(r"^## ", source[0], flags=re.MULTILINE)))


def _navigation(section: str) -> str:
    pages = dict.fromkeys(_PAGE_LINK.findall(section))
    heading, _, _ = section.partition("\n")
    caption = [] if heading.startswith("#") else [f":caption: {heading}"]
    return "\n".join(["\n```{toctree}", ":hidden:", *caption, "", *pages, "```\n"]) if pages else ""


def setup(app: Sphinx) -> None:
    """Connect the preparation of pages."""
    app.connect("source-read", prepare)
