"""Text files of other programs, as templates one can read: `templates/*.j2` beside the modules of a package."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined


def templates(package: str) -> Environment:
    """The templates of a package. A name they are not given is an error.

    Nothing is escaped: they are no HTML for browsers alone, and who gives a value has validated it or escapes it.
    """
    return Environment(
        loader=PackageLoader(package),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 -- configuration of servers; see above
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
