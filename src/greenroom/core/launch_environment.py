"""Variables that who launches a session may not set in it: those that make other people's programs run their code.

They become the environment of the container, and so of the image's own start, which may be root's. Who administers a
workspace sets what it needs in its `run_config`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from greenroom.core.run_config import OUR_PREFIX, environment_problem

PREFIXES: Final = ("BASH", "GCONV_", "GLIBC_", "LD_", "MALLOC_", "NODE_", "OPENSSL_", "PERL", "PYTHON", "RUBY")
"""What variables of the dynamic loader, shells and interpreters begin with."""

NAMES: Final = frozenset(
    {
        *("CDPATH", "ENV", "GLOBIGNORE", "IFS", "PATH", "PROMPT_COMMAND", "PS4", "SHELLOPTS", "ZDOTDIR"),
        *("CLASSPATH", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "LOCPATH", "NLSPATH"),
        *("GDK_PIXBUF_MODULE_FILE", "GIO_EXTRA_MODULES", "GIO_MODULE_DIR", "GTK_MODULES", "GTK_PATH", "QT_PLUGIN_PATH"),
        *("ALL_PROXY", "FTP_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"),
        *("HOSTALIASES", "LOCALDOMAIN", "RES_OPTIONS"),
    }
)
"""Others of shells, interpreters and toolkits, and those that lead connections and names elsewhere; in capitals."""


def launch_problem(environment: Mapping[str, Any]) -> str | None:
    """Why a launch may not set these variables, as a sentence; None = it may."""
    if problem := environment_problem(environment):
        return problem
    for name in environment:
        if name.upper() in NAMES or name.startswith(PREFIXES):
            return (
                f"{name} changes which code or servers programs use, also those that are not the user's; an"
                " administrator can set it in the run_config of the workspace."
            )
    return None


def chosen_by_users(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The variables of a session's specification that its user chose, by the request or by preferences.

    All that Greenroom sets itself begins with `OUR_PREFIX`, and nobody else may set those.
    """
    return tuple(sorted(name for name in environment if not name.startswith(OUR_PREFIX)))
