"""The folder of a deployment in containers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from greenroom.core.errors import SetupError
from greenroom.kit.certificates import general_name, is_pair, names_in
from greenroom.up.account import Account
from greenroom.up.deployment import SYSTEM_AUTHORITIES, Deployment, add_host

NOW = datetime(2030, 1, 1, tzinfo=UTC)
MINE = Account(None)


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    made = Deployment(tmp_path, services=MINE, database=MINE)
    made.create_files(["desk.example"], NOW)
    return made


def contents(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*") if file.is_file()}


def test_a_second_setup_changes_nothing_once_the_agent_has_joined(deployment: Deployment):
    (deployment.folder / "agent/identity.json").write_text("{}")
    before = contents(deployment.folder)
    deployment.create_files(["desk.example"], NOW + timedelta(days=1))
    assert contents(deployment.folder) == before


def test_a_second_manager_of_the_host_has_folders_of_its_own(deployment: Deployment):
    for name in ("manager", "manager_2"):
        assert (deployment.folder / name).stat().st_mode & 0o777 == 0o700
        assert (deployment.folder / "tmp" / name).stat().st_mode & 0o777 == 0o755, "kasm_proxy looks for its sentinel"


def test_an_agent_that_has_not_joined_gets_a_new_token_before_expiry(deployment: Deployment):
    before = deployment.join_token.read_text()
    made = datetime.fromtimestamp(deployment.join_token.stat().st_mtime, UTC)
    deployment.create_files(["desk.example"], made + timedelta(minutes=25))
    assert deployment.join_token.read_text() == before
    deployment.create_files(["desk.example"], made + timedelta(minutes=35))
    assert deployment.join_token.read_text() != before
    assert (deployment.secrets_folder("agent") / "join_token").read_text() == deployment.join_token.read_text()


def test_each_role_has_the_secrets_it_needs_and_no_others(deployment: Deployment):
    given = {
        folder.name: {file.name for file in folder.iterdir()} for folder in (deployment.folder / "secrets").iterdir()
    }
    service = {"installation.key", "service.pgpass", "ca.pem"}
    assert given == {
        "api": service,
        "manager": service,
        "setup": {"installation.key", "pgpass", "ca.pem"},
        "proxy": {"server.pem", "server.key", "credential"},
        "agent": {"ca.pem", "join_token"},
        "db": {"server.pem", "server.key", "password", "service_password"},
    }


def test_api_and_managers_have_the_service_role_only(deployment: Deployment):
    owners = (deployment.installation / "database.password").read_text()
    assert (deployment.secrets_folder("setup") / "pgpass").read_text() == f"*:*:*:greenroom:{owners}\n"
    service = (deployment.secrets_folder("db") / "service_password").read_text()
    for role in ("api", "manager"):
        given = contents(deployment.secrets_folder(role))
        assert given["service.pgpass"] == f"*:*:*:greenroom_service:{service}\n"
        assert not [name for name, text in given.items() if owners in text]


def test_no_one_else_reads_secrets(deployment: Deployment):
    for folder in (deployment.installation, *(deployment.folder / "secrets").iterdir()):
        assert folder.stat().st_mode & 0o777 == 0o700
        for file in folder.iterdir():
            assert file.suffix == ".pem" or file.stat().st_mode & 0o777 == 0o600, file


def test_gateway_and_database_are_known_by_their_names(deployment: Deployment):
    gateway = (deployment.secrets_folder("proxy") / "server.pem").read_text()
    assert names_in(gateway) == [general_name(name) for name in ("desk.example", "127.0.0.1", "localhost")]
    assert is_pair(gateway, (deployment.secrets_folder("proxy") / "server.key").read_text())
    database = (deployment.secrets_folder("db") / "server.pem").read_text()
    assert general_name("kasm_db") in names_in(database)


def test_certificates_are_renewed_for_another_name_and_before_expiry(deployment: Deployment):
    file = deployment.secrets_folder("proxy") / "server.pem"
    first = file.read_text()
    deployment.create_files(["other.example"], NOW)
    second = file.read_text()
    assert general_name("other.example") in names_in(second)
    deployment.create_files(["other.example"], NOW + timedelta(days=380))
    assert len({first, second, file.read_text()}) == 3


def test_the_administrators_certificate_reaches_the_gateway_alone(deployment: Deployment):
    for name in ("given.pem", "given.key"):
        (deployment.installation / name).write_text(name)
    deployment.create_files(["desk.example"], NOW)
    found = [path.parent.name for path in (deployment.folder / "secrets").rglob("given.key")]
    assert found == ["proxy"]


def test_agents_know_who_signed_the_administrators_certificate(deployment: Deployment):
    file = deployment.secrets_folder("agent") / "ca.pem"
    assert file.read_text() == (deployment.installation / "ca.pem").read_text()
    (deployment.installation / "given.pem").write_text("the given one\n")
    deployment.create_files(["desk.example"], NOW)
    assert file.read_text().startswith((deployment.installation / "ca.pem").read_text() + "the given one\n")
    assert SYSTEM_AUTHORITIES.read_text() in file.read_text()


@pytest.mark.parametrize("password", ["service.password", "database.password"])
def test_a_joined_host_makes_no_authority_and_no_database(deployment: Deployment, tmp_path: Path, password: str):
    further = Deployment(tmp_path / "further", services=MINE, database=MINE)
    further.folder.mkdir()
    further.installation.mkdir()
    for name in ("installation.key", password, "ca.pem", "server.pem", "server.key", "join_token"):
        source = deployment.secrets_folder("db") / "service_password" if name == "service.password" else None
        (further.installation / name).write_text((source or deployment.installation / name).read_text())
    before = contents(further.installation)
    further.create_files(["desk.example"], NOW + timedelta(days=380))
    assert contents(further.installation) == before
    assert not further.secrets_folder("db").exists()
    assert not further.secrets_folder("setup").exists()
    logins = [made.secrets_folder("api") / "service.pgpass" for made in (deployment, further)]
    assert logins[0].read_text() == logins[1].read_text(), "also where the host was added before there were two roles"
    assert (further.secrets_folder("agent") / "join_token").exists()


@pytest.mark.parametrize("lost", ["installation.key", "database.password"])
def test_no_other_key_is_made_for_a_database_that_is_there(deployment: Deployment, lost: str):
    (deployment.folder / "db/data").mkdir()
    (deployment.installation / lost).unlink()
    with pytest.raises(SetupError, match=r"restore .*installation from a backup"):
        deployment.create_files(["desk.example"], NOW)
    assert not (deployment.installation / lost).exists()


def test_hosts_are_added_where_the_authority_is(deployment: Deployment):
    (deployment.installation / "ca.key").unlink()
    with pytest.raises(SetupError, match="on the host with the database"):
        asyncio.run(add_host(deployment, "", "second.example", "default", NOW))


@pytest.mark.parametrize("name", ["", "../second", "a b", ".hidden"])
def test_no_folder_is_made_for_what_is_no_host_name(deployment: Deployment, name: str):
    with pytest.raises(SetupError, match="not a host name"):
        asyncio.run(add_host(deployment, "", name, "default", NOW))
    assert not (deployment.folder / "hosts").exists()
