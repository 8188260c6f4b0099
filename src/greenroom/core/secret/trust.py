"""How a leased session believes the web filter that adds secrets to its requests: by whose certificate it is signed.

The filter opens connections to the hosts of the secrets, so programs see its certificate there. Its authority is for
this session alone. Programs read it from one of these files, or Chromium from its policies.
"""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Mapping
from typing import Final

from greenroom.core.workspace.session_spec import File

AUTHORITY: Final = "/etc/greenroom/filter-authority.pem"
BUNDLE: Final = "/etc/greenroom/ca-certificates.crt"
"""The authorities that the image believes, and this one."""
BUNDLES: Final = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
"""Where images keep theirs: Debian, Ubuntu, Alpine, Arch; Fedora, RHEL."""
BROWSER_POLICIES: Final = (
    "/etc/chromium/policies/managed/greenroom-filter.json",
    "/etc/opt/chrome/policies/managed/greenroom-filter.json",
)

VARIABLES: Final = {
    **dict.fromkeys(
        ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO", "AWS_CA_BUNDLE", "PIP_CERT"), BUNDLE
    ),
    "NODE_EXTRA_CA_CERTS": AUTHORITY,
}
"""Names of the files, for programs that look there; OpenSSL, curl, Python's requests, git, Node.js."""


def files(certificate: str, bundles: Mapping[str, str]) -> tuple[File, ...]:
    """What is put into the container of such a session; `bundles` are those of its image, by their paths."""
    believed = {path: f"{content.rstrip()}\n{certificate}" for path, content in bundles.items()}
    first = next(iter(believed.values()), certificate)
    der = base64.b64encode(ssl.PEM_cert_to_DER_cert(certificate)).decode()
    policy = json.dumps({"CACertificates": [der]})
    contents = {**believed, AUTHORITY: certificate, BUNDLE: first, **dict.fromkeys(BROWSER_POLICIES, policy)}
    return tuple(
        File(path=path, content=content, mode=0o644, folder_mode=0o755, uid=0, gid=0)
        for path, content in contents.items()
    )
