"""The services of a machine, as `systemctl show` prints them."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenroom.core.errors import SetupError
from greenroom.upgrade.services_facts import database_of
from greenroom.upgrade.units import read_services

SHOWN = """#!/bin/sh
case $3 in greenroom-manager.service) ;; *) printf 'LoadState=not-found\\nActiveState=inactive\\n'; exit ;; esac
cat <<'END'
MainPID=812
ExecStart={{ path=/usr/local/bin/greenroom ; argv[]=/usr/local/bin/greenroom manager ; ignore_errors=no ; pid=812 }}
Environment=GREENROOM_CONFIG={config} GREENROOM_MANAGER_DIR=/var/lib/greenroom-manager
User=greenroom
LoadState=loaded
ActiveState={state}
END
"""


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def write_systemctl(folder: Path, text: str) -> None:
    (folder / "systemctl").write_text(text)
    (folder / "systemctl").chmod(0o755)


def test_a_service_has_the_settings_of_its_file_and_of_its_unit(bin_folder: Path):
    config = bin_folder / "manager.toml"
    config.write_text('database_url = "host=db"\nmanager_dir = "/other"\n')
    write_systemctl(bin_folder, SHOWN.format(config=config, state="active"))
    (service,) = read_services()
    assert (service.role, service.state, service.pid) == ("manager", "active", 812)
    assert (service.user, service.group) == ("greenroom", "greenroom")
    assert service.program == Path("/usr/local/bin/greenroom")
    assert (service.setting("database_url"), service.setting("manager_port")) == ("host=db", 8181)
    assert service.setting("manager_dir") == "/var/lib/greenroom-manager"


def test_a_manager_without_the_url_of_its_database_is_refused(bin_folder: Path):
    config = bin_folder / "manager.toml"
    config.write_text('zone = "default"\n')
    write_systemctl(bin_folder, SHOWN.format(config=config, state="active"))
    services = {service.role: service for service in read_services()}
    with pytest.raises(SetupError, match=r"greenroom-manager\.service contain no database_url"):
        database_of(services, None)
    assert (database_of(services, "host=db"), database_of({}, "host=db")) == ("host=db", "")


def test_a_stopped_service_is_left_alone(bin_folder: Path):
    write_systemctl(bin_folder, SHOWN.format(config="/absent.toml", state="inactive"))
    assert read_services() == []


def test_a_failure_of_systemctl_is_one_sentence(bin_folder: Path):
    write_systemctl(bin_folder, "#!/bin/sh\necho 'Failed to connect to bus.' >&2\necho more >&2\nexit 1\n")
    with pytest.raises(SetupError, match=r"greenroom-manager\.service failed: Failed to connect to bus\.$"):
        read_services()
