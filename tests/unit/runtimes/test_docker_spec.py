"""The request to Docker from a specification."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.core.session.reconcile import ContainerState
from greenroom.core.workspace import run_config
from greenroom.core.workspace.run_config import CAPABILITIES
from greenroom.core.workspace.session_spec import Mount, Service, SessionSpec
from greenroom.runtimes.contract import Capacity, StartError
from greenroom.runtimes.docker.daemon import capacity, missing_runtimes
from greenroom.runtimes.docker.spec import (
    ContainerOwner,
    container_config,
    container_from_inspect,
    container_from_list,
    container_name,
)

IDENTITY = ContainerOwner(installation_id="0a1b2c3d-0000-4000-8000-000000000000", agent_id="agent")
SESSION = "5e551071-0000-4000-8000-000000000001"


def spec(**changes: Any) -> SessionSpec:
    return SessionSpec(**{"image": "image:1", "image_id": "i", "credential": "secret", **changes})


def test_names_on_the_host_fit():
    assert (IDENTITY.network, IDENTITY.bridge) == ("greenroom-0a1b2c3d", "gr-0a1b2c3d")
    assert len(IDENTITY.bridge) <= 15
    assert container_name(SESSION) == f"gr-{SESSION}"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
ALLOWED = [*run_config.ALLOWED]
HARMFUL = ["privileged", "pid_mode", "network_mode", "security_opt", "devices", "volumes", "ipc_mode", "HostConfig"]
keys = st.sampled_from([*ALLOWED, *HARMFUL]) | st.text(max_size=8)


@given(
    run_config=st.dictionaries(keys, json_values, max_size=4),
    cores=st.floats(0.001, 128),
    memory=st.integers(1 << 22, 1 << 40),
    mode=st.sampled_from(["Shares", "Quotas"]),
)
def test_no_specification_weakens_the_confinement(run_config: dict[str, Any], cores: float, memory: int, mode: Any):
    try:
        config = container_config(
            SESSION, spec(run_config=run_config, cores=cores, memory_bytes=memory, cpu_mode=mode), IDENTITY
        )
    except StartError:
        return
    host = config["HostConfig"]
    assert host["CapDrop"] == ["ALL"]
    assert set(host["CapAdd"]) <= CAPABILITIES
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["Privileged"] is False
    assert host["Memory"] == host["MemorySwap"] == memory
    assert 0 < host["PidsLimit"] <= 512
    assert all(b["HostIp"] == "127.0.0.1" for bindings in host["PortBindings"].values() for b in bindings)
    assert not {"Devices", "PidMode", "IpcMode", "OomScoreAdj", "Binds"} & host.keys()
    assert host.get("CpuShares", 2) >= 2
    assert host.get("NanoCpus", 1) >= 1


@given(labels=st.dictionaries(st.sampled_from(["greenroom.session", "greenroom.installation", "a"]), st.text()))
def test_labels_cannot_pretend_to_be_another_session(labels: dict[str, str]):
    own = container_config(SESSION, spec(), IDENTITY, labels)["Labels"]
    assert (own["greenroom.session"], own["greenroom.installation"]) == (SESSION, IDENTITY.installation_id)


def test_the_credential_cannot_be_overridden():
    config = container_config(SESSION, spec(), IDENTITY)
    assert "VNC_PW=secret" in config["Env"]
    assert sum(entry.startswith("VNC_PW=") for entry in config["Env"]) == 1
    with pytest.raises(StartError, match="VNC_PW is set by Greenroom"):
        container_config(SESSION, spec(environment={"VNC_PW": "a"}), IDENTITY)
    with pytest.raises(StartError, match="VNC_PW is set by Greenroom"):
        container_config(SESSION, spec(run_config={"environment": {"VNC_PW": "b"}}), IDENTITY)


def test_a_variable_that_the_image_sets_is_not_changed_by_a_launch():
    chosen = spec(environment={"MODE": "desktop"})
    assert "MODE=desktop" in container_config(SESSION, chosen, IDENTITY)["Env"]
    with pytest.raises(StartError, match="MODE is set by the image"):
        container_config(SESSION, chosen, IDENTITY, image_variables=["MODE"])


def test_another_network_of_the_installation_takes_the_place_of_ours():
    name = f"{IDENTITY.network}-policy"
    config = container_config(SESSION, spec(network=name), IDENTITY)
    assert config["HostConfig"]["NetworkMode"] == name
    assert list(config["NetworkingConfig"]["EndpointsConfig"]) == [name]


@pytest.mark.parametrize("network", ["host", "none", "bridge", "default", "container:gr-other", "lab", ""])
def test_a_network_that_is_not_ours_is_refused(network: str):
    with pytest.raises(StartError, match="network"):
        container_config(SESSION, spec(network=network), IDENTITY)


def test_a_folder_of_the_host_itself_is_not_mounted():
    with pytest.raises(StartError, match="may not be put"):
        container_config(SESSION, spec(mounts=(Mount(source="/var/run/docker.sock", target="/x"),)), IDENTITY)


def test_only_a_runtime_that_the_agent_offers_is_asked_for():
    wanted = spec(run_config={"runtime": "runsc"})
    assert container_config(SESSION, wanted, IDENTITY, None, ("kata", "runsc"))["HostConfig"]["Runtime"] == "runsc"
    assert "Runtime" not in container_config(SESSION, spec(), IDENTITY, None, ("runsc",))["HostConfig"]
    with pytest.raises(StartError, match="does not offer the runtime runsc"):
        container_config(SESSION, wanted, IDENTITY, None, ("kata",))


def test_of_the_runtimes_those_are_offered_that_docker_has():
    info = {"NCPU": 8, "MemTotal": 1 << 30, "Runtimes": {"runc": {"path": "runc"}, "runsc": {"path": "/usr/bin/runsc"}}}
    offered = capacity(info, 0.5, ("kata", "runsc"))
    assert offered == Capacity(cores=4, memory_bytes=1 << 29, runtime_classes=("runsc",))
    assert missing_runtimes(info, ("kata", "runsc")) == ["kata"]


def test_a_mounted_folder_takes_the_place_of_one_in_memory():
    home = Mount(source="/srv/profiles/ada", target="/home/kasm-user")
    override = {"read_only": True, "tmpfs": {"/home/kasm-user/": "size=1g", "/cache": "size=64m"}}
    host = container_config(SESSION, spec(mounts=(home,), run_config=override), IDENTITY)["HostConfig"]
    assert host["ReadonlyRootfs"] is True
    assert host["Tmpfs"] == {"/cache": "size=64m,nosuid,nodev"}


SERVICES = (Service(name="audio", port=4901, allowed=True), Service(name="uploads", port=4902))


def test_of_the_services_those_are_published_that_are_allowed():
    config = container_config(SESSION, spec(services=SERVICES), IDENTITY)
    assert set(config["HostConfig"]["PortBindings"]) == set(config["ExposedPorts"]) == {"6901/tcp", "4901/tcp"}
    assert config["Labels"]["greenroom.services"] == "audio=4901"
    assert "greenroom.services" not in container_config(SESSION, spec(), IDENTITY)["Labels"]


def test_the_page_is_known_beside_the_services_in_any_order():
    labels = {**LABELS, "greenroom.services": "audio=4901"}
    ports = [
        {"IP": "127.0.0.1", "PublicPort": 4001, "PrivatePort": 4901},
        {"PrivatePort": 5901},
        {"IP": "127.0.0.1", "PublicPort": 4000, "PrivatePort": 6901},
    ]
    listed = container_from_list({"Id": "c", "Labels": labels, "State": "running", "Ports": ports})
    bindings = {
        f"{p['PrivatePort']}/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(p["PublicPort"])}] if "IP" in p else None
        for p in ports
    }
    inspected = container_from_inspect(
        {
            "Id": "c",
            "Config": {"Labels": labels},
            "State": {"Status": "running"},
            "NetworkSettings": {"Ports": bindings},
        }
    )
    for seen in (listed, inspected):
        assert (seen.address, seen.services) == ("127.0.0.1:4000", {"audio": "127.0.0.1:4001"})


@pytest.mark.parametrize("services", ["page=abc", "page", "=", "page=", "page=-1", "page=²"])
def test_an_invalid_label_of_a_container_adds_no_service(services: str):
    labels, ports = (
        {**LABELS, "greenroom.services": f"{services},audio=4901"},
        [{"IP": "127.0.0.1", "PublicPort": 4001, "PrivatePort": 4901}],
    )
    listed = container_from_list({"Id": "c", "Labels": labels, "State": "running", "Ports": ports})
    assert listed.services == {"audio": "127.0.0.1:4001"}


def test_under_a_web_filter_services_are_at_the_containers_own_address():
    labels = {**LABELS, "greenroom.services": "audio=4901", "greenroom.page-port": "6901"}
    networks = {"Networks": {"web": {"IPAddress": "172.16.0.2"}}}
    entry = {"Id": "c", "Labels": labels, "State": "running", "NetworkSettings": networks}
    seen = container_from_list(entry)
    assert (seen.address, seen.services) == ("172.16.0.2:6901", {"audio": "172.16.0.2:4901"})
    stopped = container_from_list({**entry, "State": "exited"})
    assert (stopped.address, stopped.services) == (None, {})


LABELS = {"greenroom.session": SESSION, "greenroom.agent": "a", "greenroom.spec-hash": "h"}


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("created", ContainerState.CREATED),
        ("running", ContainerState.RUNNING),
        ("paused", ContainerState.PAUSED),
        ("exited", ContainerState.EXITED),
        ("dead", ContainerState.EXITED),
        ("removing", ContainerState.EXITED),
    ],
)
def test_a_list_and_an_inspection_say_the_same(status: str, state: ContainerState):
    ports = [{"IP": "127.0.0.1", "PublicPort": 4000, "PrivatePort": 6901}]
    listed = container_from_list({"Id": "c", "Labels": LABELS, "State": status, "Ports": ports})
    inspected = container_from_inspect(
        {
            "Id": "c",
            "Config": {"Labels": LABELS},
            "State": {"Status": status, "ExitCode": 3},
            "NetworkSettings": {"Ports": {"6901/tcp": [{"HostIp": "127.0.0.1", "HostPort": "4000"}]}},
        }
    )
    assert listed.state is inspected.state is state
    assert listed.address == inspected.address == ("127.0.0.1:4000" if status == "running" else None)
    assert inspected.exit_code == (3 if state is ContainerState.EXITED else None)
