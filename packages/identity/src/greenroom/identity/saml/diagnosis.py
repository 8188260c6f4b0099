"""The test of a SAML provider. No user is logged in."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx2

from greenroom.identity.attempts import new_attempt
from greenroom.identity.context import SignOnContext
from greenroom.identity.diagnosis import Diagnosis, Steps
from greenroom.identity.provider import ProviderFailed, get_content, http_settings, provider_request
from greenroom.identity.saml import service
from greenroom.identity.saml.cache import METADATA_TYPES
from greenroom.identity.saml.documents import SamlRefused, parse_metadata_text
from greenroom.identity.saml.metadata import IdentityProvider, parse_metadata
from greenroom.identity.saml.signatures import find_program
from greenroom.identity.statements import SignOnProvider


class SamlDiagnosis(Diagnosis):
    """A test of a SAML provider. `origin` is the address of the console. If the metadata was entered as text, no step
    connects to the identity provider."""

    def __init__(self, context: SignOnContext, provider: SignOnProvider, origin: str) -> None:
        super().__init__(provider.metadata_url)
        self._context = context
        self._provider = provider
        self._origin = origin
        self._content = provider.metadata_xml.encode()
        self._found: IdentityProvider | None = None

    @property
    def steps(self) -> Steps:
        if self._provider.metadata_xml:
            return {"program": self._find_program, "metadata": self._check_xml, "provider": self._check_provider}
        return {
            "program": self._find_program,
            **super().steps,
            "document": self._read_metadata,
            "metadata": self._check_xml,
            "provider": self._check_provider,
            "authorization": self._request_log_in,
        }

    async def _find_program(self) -> str:
        return f"{find_program()} checks the signatures."

    async def _read_metadata(self) -> str:
        self._content = (await get_content(self._provider.metadata_url, METADATA_TYPES)).content
        return f"{self._provider.metadata_url} answers."

    async def _check_xml(self) -> str:
        try:
            parse_metadata_text(self._content)
        except SamlRefused as error:
            raise ProviderFailed(str(error)) from error
        return "The metadata is XML."

    async def _check_provider(self) -> str:
        try:
            self._found = parse_metadata(self._content, self._provider.issuer, datetime.now(UTC))
        except SamlRefused as error:
            raise ProviderFailed(str(error)) from error
        until = min(certificate.not_valid_after_utc for certificate in self._found.certificates)
        log_out = "" if self._found.log_out_url else " It offers no log-out."
        return (
            f"The metadata belongs to {self._found.entity_id}. Valid certificates: {len(self._found.certificates)}; the"
            f" first expires on {until:%Y-%m-%d}.{log_out}"
        )

    async def _request_log_in(self) -> str:
        url = await service.log_in_url(
            self._context, self._provider, new_attempt(self._provider, self._origin, path="/")
        )
        async with provider_request(url), httpx2.AsyncClient(**http_settings()) as http:
            answer = await http.get(url)
        if answer.status_code >= 400:
            raise ProviderFailed(
                f"The identity provider refuses the request to log in (status {answer.status_code}). Register"
                f" {self._provider.client_id} there with its metadata."
            )
        return f"The identity provider offers a log-in to {self._provider.client_id}."
