"""`greenroom api|manager|agent|gateway`: the roles of a deployment, each a process."""

from __future__ import annotations

from greenroom.kit import program


def api() -> None:
    """Run the api of a deployment (settings: GREENROOM_*)."""
    program.run("api")


def manager() -> None:
    """Run one Manager of a zone (settings: GREENROOM_*)."""
    program.run("manager")


def agent() -> None:
    """Run the Agent of this host (settings: GREENROOM_*)."""
    program.run("agent")


def gateway() -> None:
    """Run the gateway of this host: nginx with generated configuration (settings: GREENROOM_*)."""
    program.run("gateway")
