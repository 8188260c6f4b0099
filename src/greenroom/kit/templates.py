"""Templates of text files for other programs: the files `templates/*.j2` next to the modules of a package."""

from __future__ import annotations

from importlib import resources

from jinja2 import DictLoader, Environment, StrictUndefined


def load_templates(package: str) -> Environment:
    """Return the templates of a package. A template raises an error if a variable has no value.

    All templates are compiled immediately, so that an error in one is found at the start, and so that the process may
    change its account afterwards. Nothing is escaped, because most templates are not HTML: the caller validates or
    escapes each value.
    """
    files = (resources.files(package) / "templates").iterdir()
    environment = Environment(
        loader=DictLoader({file.name: file.read_text() for file in files}),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 -- configuration of servers; see above
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in environment.list_templates():
        environment.get_template(name)
    return environment
