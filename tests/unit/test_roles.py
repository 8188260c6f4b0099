"""A role as a process: it loads only the modules that it uses, and reports in one sentence why it cannot run."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from greenroom.kit import program

pytestmark = pytest.mark.program

EVERYWHERE = {
    *("greenroom", "anyio", "click", "idna", "msgspec", "prometheus_client", "pydantic", "pydantic_core"),
    *("pydantic_settings", "starlette", "structlog", "typing_extensions", "typing_inspection", "uvicorn"),
    *("annotated_types", "dotenv", "opentelemetry", "python_multipart", "sniffio"),  # by libraries, where installed
}
DATABASE = {"cryptography", "cython_runtime", "psycopg", "psycopg_binary", "psycopg_pool"}
CLIENT = {"httpx2", "jinja2", "markupsafe", "psutil"}
SIGN_ON = {
    *("authlib", "defusedxml", "email_validator", "httpx2", "joserfc", "lark", "scim2_models"),
    *("OpenSSL", "cbor2", "pyasn1", "pyasn1_modules", "webauthn"),  # passkeys
}
LIBRARIES = {
    "api": EVERYWHERE | DATABASE | SIGN_ON | {"annotated_doc", "fastapi"},
    "manager": EVERYWHERE | DATABASE,
    "agent": EVERYWHERE | CLIENT | {"cryptography"},
    "gateway": EVERYWHERE | CLIENT | {"cryptography"},
}
"""The packages that a role may load in addition to the standard library and the packages that every Python of this
machine loads; names that begin with _ are parts of others."""
OF_GREENROOM = {
    "api": {"api", "identity", "interfaces", "machine_providers", "sessions", "db", "wire", "kit", "core", "shared"},
    "manager": {"machine_providers", "manager", "sessions", "db", "wire", "kit", "core", "shared"},
    "agent": {"agent", "runtimes", "wire", "kit", "core", "shared"},
    "gateway": {"gateway", "wire", "kit", "core", "shared"},
}
LOADED = """
import sys
before = set(sys.modules)
from greenroom.kit.program import load_main
load_main(sys.argv[1])
print(*(name for name, module in sys.modules.items() if module is not None and name not in before))
"""


@pytest.mark.parametrize("role", LIBRARIES)
def test_a_role_loads_what_it_uses_and_no_more(role: str):
    loaded = subprocess.run([sys.executable, "-c", LOADED, role], check=True, capture_output=True, text=True)
    modules = loaded.stdout.split()
    libraries = {name.partition(".")[0] for name in modules} - set(sys.stdlib_module_names)
    assert {name for name in libraries if not name.startswith("_")} <= LIBRARIES[role]
    assert {name.split(".")[1] for name in modules if name.startswith("greenroom.")} == OF_GREENROOM[role]


UP = """
import sys
from greenroom.up import fork_server, main
fork_server.fork_from_up = fork_server.import_all
sys.argv = ["up", "9999"]
try:
    main.main()
except OSError:  # no descriptor with this number is open
    print(*(name for name, module in sys.modules.items() if module is not None))
"""


def test_up_loads_nothing_of_the_command_line_and_no_unused_library():
    loaded = subprocess.run([sys.executable, "-c", UP], check=True, capture_output=True, text=True)
    modules = set(loaded.stdout.split())
    assert {"greenroom.api.main", "greenroom.up.start_data"} <= modules
    assert not {"greenroom.cli", "greenroom.up.commands", "greenlet", "h2", "rich", "typer", "watchfiles"} & modules


@pytest.mark.parametrize("role", LIBRARIES)
def test_a_role_that_cannot_run_says_so_in_one_sentence(role: str):
    done = subprocess.run(
        [sys.executable, "-m", "greenroom", role],
        check=False,
        env={"GREENROOM_LOG_LEVEL": "INFO", "GREENROOM_CONFIG": "/nowhere\x1b"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("greenroom: Invalid settings: ")
    assert r"/nowhere\u001b" in done.stderr


def test_everything_else_is_the_command_line():
    help_of_api = [sys.executable, "-m", "greenroom", "api", "--help"]
    done = subprocess.run(help_of_api, check=True, capture_output=True, text=True)
    assert "Run the api of a deployment" in done.stdout


def test_a_role_may_open_as_many_files_as_its_account(monkeypatch: pytest.MonkeyPatch):
    found = list[tuple[int, int]]()

    async def main() -> None:
        found.append(resource.getrlimit(resource.RLIMIT_NOFILE))

    monkeypatch.setattr(program, "load_main", lambda _role: main)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        program.run_role("agent")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert found == [(hard, hard)]
