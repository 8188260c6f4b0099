"""A certificate of the incident: a gateway reports that it expires."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import httpx2
import msgspec

from greenroom.demo.hosts import demo_folder
from greenroom.gateway.api_client import authorization_header
from greenroom.gateway.health import certificate_warning
from greenroom.kit.certificates import new_authority, new_key
from greenroom.up.site import Site
from greenroom.wire.fleet import ManagerRequests

_HOST: Final = "desk.uni.example"
_DAYS: Final = 10


def report_certificate(site: Site, now: datetime) -> None:
    """Create a certificate that ends soon, and report it to the api, as the gateway that serves it would."""
    certificate = new_authority("University", now).sign(new_key().public_key(), [_HOST], _DAYS, now)
    file = demo_folder(site.layout) / f"{_HOST}.pem"
    file.write_text(certificate)
    warning = certificate_warning(file, certificate, now)
    report = ManagerRequests(requests=[], warnings=(warning,) if warning else ())
    headers = authorization_header(str(site.layout.gateway_credential)) | {"Host": site.settings.host}
    address = f"http://127.0.0.1:{site.ports['api']}/api/internal/manager-requests"
    with httpx2.Client(trust_env=False) as client:
        client.post(address, content=msgspec.json.encode(report), headers=headers).raise_for_status()
