"""The files by which a leased session trusts its web filter."""

from __future__ import annotations

import base64
import json
import ssl
from datetime import UTC, datetime

from greenroom.core import named_secrets
from greenroom.kit.certificates import new_authority

CERTIFICATE = new_authority("test", datetime.now(UTC)).certificate
DEBIAN = named_secrets.IMAGE_BUNDLES[0]


def contents(bundles: dict[str, str]) -> dict[str, str]:
    return {file.path: file.content for file in named_secrets.trust_files(CERTIFICATE, bundles)}


def test_programs_believe_what_the_image_believes_and_the_filter():
    found = contents({DEBIAN: "the image's\n"})
    assert found[DEBIAN] == found[named_secrets.COMBINED_BUNDLE] == f"the image's\n{CERTIFICATE}"
    assert found[named_secrets.AUTHORITY_FILE] == CERTIFICATE


def test_an_image_that_believes_no_one_believes_the_filter():
    assert contents({})[named_secrets.COMBINED_BUNDLE] == CERTIFICATE


def test_browsers_have_a_policy_with_the_certificate():
    for path in named_secrets.BROWSER_POLICIES:
        (encoded,) = json.loads(contents({})[path])["CACertificates"]
        assert ssl.DER_cert_to_PEM_cert(base64.b64decode(encoded)).split() == CERTIFICATE.split()


def test_everybody_in_the_session_may_read_them_and_no_one_write():
    assert {(file.mode, file.folder_mode, file.uid) for file in named_secrets.trust_files(CERTIFICATE, {})} == {
        (0o644, 0o755, 0)
    }


def test_variables_name_files_that_are_there():
    assert set(named_secrets.TRUST_VARIABLES.values()) <= contents({}).keys()
