"""The part of the environment of `greenroom up` that roles receive."""

from __future__ import annotations

from pathlib import Path

from greenroom.up.roles import inherited_environment

CALLER = {
    "GREENROOM_LOG_LEVEL": "DEBUG",
    "GREENROOM_SECRET": "of the command line",
    "GREENROOM_DATABASE_URL": "postgresql://u:canary@db/x",
    "AWS_SECRET_ACCESS_KEY": "of the caller",
    "SSH_AUTH_SOCK": "/run/agent",
    "DOCKER_HOST": "unix:///run/docker.sock",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "https_proxy": "http://proxy:3128",
    "PATH": "/usr/bin",
    "HOME": "/root",
}
FOR_ALL = {"GREENROOM_LOG_LEVEL", "LC_ALL", "TZ", "https_proxy", "PATH", "HOME"}


def test_only_settings_and_what_programs_need_are_passed_on():
    given = inherited_environment(CALLER, Path("/data/api"), runs_containers=False)
    assert given.keys() == FOR_ALL
    assert given["HOME"] == "/data/api"
    assert given["PATH"].startswith("/usr/bin:")


def test_who_runs_containers_reaches_docker_as_the_caller_does():
    given = inherited_environment(CALLER, None, runs_containers=True)
    assert given.keys() == FOR_ALL | {"DOCKER_HOST"}
    assert given["HOME"] == "/root"
