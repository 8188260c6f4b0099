"""A leased desktop uses secrets without having them: its web filter adds them to requests to their hosts."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.instance import Instance, running_instance, wait_for
from tests.acceptance.test_web_filter import denials, inside, shown, squids
from tests.small_internet import SmallInternet, small_internet

VALUE = 'ghp_"first\\%d'
RENEWED = "ghp_renewed"
SECRET = {"name": "github", "hosts": ["api.open.test", ".below.test"], "value": VALUE}
EGRESS = {"allow": ["open.test", "below.test"]}
PYTHON = "import urllib.request as r; print(r.urlopen('https://x.below.test/headers').read().decode())"


@pytest.fixture(scope="module")
def internet() -> Iterator[SmallInternet]:
    with small_internet() as internet:
        internet.folder.chmod(0o711)  # the filter's account reads the certificate
        yield internet


@pytest.fixture(scope="module")
def brokering(openbox_image: str, internet: SmallInternet) -> Iterator[Instance]:
    """An instance whose filters trust the servers of the small internet."""
    with running_instance(
        GREENROOM_DESKTOP_IMAGE=openbox_image,
        GREENROOM_WEB_FILTER_RESOLVERS=internet.address,
        SSL_CERT_FILE=str(internet.authority),
    ) as instance:
        yield instance


@pytest.fixture(scope="module")
def secret_id(brokering: Instance) -> str:
    return brokering.call("POST", "/secrets", json=SECRET)["secret_id"]


@pytest.fixture(scope="module")
def lease(brokering: Instance, secret_id: str) -> dict[str, Any]:
    return leased(brokering, secrets=["github"])


@pytest.fixture(scope="module")
def desktop(lease: dict[str, Any]) -> str:
    return lease["session_id"]


def leased(instance: Instance, **options: Any) -> dict[str, Any]:
    body = {
        "workspace": "Desktop",
        "seconds": 600,
        "user_id": instance.new_user(),
        "wait_s": 60,
        "options": {"egress": EGRESS, **options},
    }
    lease = instance.call("POST", "/leases", json=body, timeout=90)
    assert lease["status"] == "running", instance.session(lease["session_id"])
    return lease


def ask(session_id: str, url: str, *options: str) -> str:
    """The output of curl in the session for an answer, or for an error."""
    return inside(session_id, "curl", "-sS", "-m", "10", *options, url)


def in_memory(instance: Instance) -> list[Path]:
    """The folders with secrets of this instance's filters; other tests have instances on this host."""
    policies = instance.sql("SELECT filter_policy_id::text FROM filter_policies")
    folders = [Path("/dev/shm", f"greenroom-secrets-{row['filter_policy_id']}") for row in policies]  # noqa: S108 -- read
    return [folder for folder in folders if folder.exists()]


def test_the_header_arrives_without_a_change_of_the_program(desktop: str):
    assert f"Authorization: Bearer {VALUE}\n" in ask(desktop, "https://api.open.test/headers")
    assert f"Authorization: Bearer {VALUE}\n" in inside(desktop, "python3", "-c", PYTHON)


def test_the_programs_own_header_is_replaced(desktop: str):
    answer = ask(desktop, "https://api.open.test/headers", "-H", "authorization: Bearer own", "-H", "X-Own: 1")
    assert answer.lower().count("authorization:") == 1
    assert f"Bearer {VALUE}" in answer
    assert "X-Own: 1" in answer


def test_other_hosts_get_no_header_and_show_their_own_certificate(desktop: str):
    answer = ask(desktop, "https://www.open.test/headers", "-kv", "-H", "Authorization: own")
    assert "Authorization: own\n" in answer
    assert "issuer: CN=test" in answer
    assert VALUE not in answer
    assert "issuer: CN=Greenroom web filter" in ask(desktop, "https://api.open.test/headers", "-v")


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("https://api.open.test/headers", ("-H", "Host: www.open.test")),
        ("https://api.open.test/headers", ("--request-target", "https://www.open.test/headers")),
        ("https://api.open.test/headers", ("--request-target", "http://api.open.test/headers")),
        ("https://a.x.below.test/headers", ("-k",)),
        ("http://api.open.test/headers", ()),
    ],
)
def test_no_other_way_of_asking_gets_the_header(desktop: str, url: str, options: tuple[str, ...]):
    assert VALUE not in ask(desktop, url, *options)


def test_a_host_that_cannot_prove_who_it_is_gets_nothing(brokering: Instance, internet: SmallInternet, desktop: str):
    """The certificate of the small internet does not name it."""
    brokering.call("POST", "/secrets", json={**SECRET, "name": "other", "hosts": ["www.open.test"]})
    other = leased(brokering, secrets=["other"])
    answer = ask(other["session_id"], "https://www.open.test/headers")
    assert "hello" not in answer
    assert VALUE not in answer
    assert len(squids(brokering)) == 2, "the filter of a lease with secrets is its own"
    brokering.call("DELETE", f"/leases/{other['lease_id']}")
    wait_for(lambda: len(squids(brokering)) == 1, "the filter ends with its lease")


def test_what_is_refused_is_written_down_here_too(brokering: Instance, desktop: str):
    assert "certificate" in ask(desktop, "https://elsewhere.test/")
    ask(desktop, "https://api.open.test/forbidden")

    def hosts() -> list[str]:
        return [row["details"]["host"] for row in denials(brokering, desktop)]

    wait_for(lambda: "elsewhere.test" in hosts(), "the refusal is a row of Diagnostics")
    assert "api.open.test" not in hosts(), "it answered 403 itself"


def test_the_value_is_nowhere_in_the_container(brokering: Instance, desktop: str):
    part = "ghp_"
    assert part not in str(shown(desktop))
    processes = [
        "sh",
        "-c",
        "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | grep -ac " + "gh[p]_",
    ]
    as_root = ("docker", "exec", "--user", "0", f"gr-{desktop}")
    assert run(*as_root, *processes).strip() == "0"
    files = "grep -rIl --exclude-dir=proc --exclude-dir=sys --exclude-dir=dev gh[p]_ / 2>/dev/null || true"
    assert run(*as_root, "sh", "-c", files) == ""
    assert run("docker", "logs", f"gr-{desktop}").count(part) == 0
    assert run("sh", "-c", f"grep -rsl {part} {brokering.data} || true") == "", "nor on the disk of the host"
    (folder,) = in_memory(brokering)
    assert (folder / "secrets.conf").stat().st_mode & 0o077 == 0


def run(*command: str) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.stdout + done.stderr


def test_an_agent_that_is_killed_leaves_the_secrets_in_force(brokering: Instance, desktop: str):
    (before,) = squids(brokering)
    agent = brokering.kill("agent")
    assert VALUE in ask(desktop, "https://api.open.test/headers")
    wait_for(lambda: brokering.pids("agent") not in ([], [agent]) and brokering.healthy(), "the Agent is back", 60)
    assert VALUE in ask(desktop, "https://api.open.test/headers")
    assert squids(brokering) == [before]


def test_a_changed_secret_is_in_force_at_once(brokering: Instance, desktop: str, secret_id: str):
    changed = brokering.call("PATCH", f"/secrets/{secret_id}", json={"value": RENEWED, "template": "token {secret}"})
    assert "value" not in changed
    new = f"Authorization: token {RENEWED}\n"
    wait_for(lambda: new in ask(desktop, "https://api.open.test/headers"), "the filter has the new value", 15)


def test_a_deleted_secret_is_out_of_force_at_once(brokering: Instance, desktop: str, secret_id: str):
    brokering.call("DELETE", f"/secrets/{secret_id}")
    wait_for(lambda: "issuer: CN=test" in ask(desktop, "https://api.open.test/", "-kv"), "the site itself answers", 15)
    assert RENEWED not in ask(desktop, "https://api.open.test/headers", "-k")
    assert in_memory(brokering) == []


def test_the_filter_ends_with_the_lease(brokering: Instance, lease: dict[str, Any]):
    brokering.call("DELETE", f"/leases/{lease['lease_id']}")
    wait_for(lambda: not squids(brokering), "the filter is gone")
    wait_for(lambda: not in_memory(brokering), "its files are gone")


def test_down_leaves_no_secret(brokering: Instance):
    """The last of this module: it ends the instance."""
    brokering.call("POST", "/secrets", json=SECRET)
    leased(brokering, secrets=["github"])
    (folder,) = in_memory(brokering)
    done = brokering.down()
    assert done.returncode == 0, done.stderr
    assert not folder.exists()
