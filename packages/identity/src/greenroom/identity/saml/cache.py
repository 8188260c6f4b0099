"""The metadata of identity providers, read over HTTP and cached."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final

from greenroom.identity.provider import SHARED_RESULT_S, ProviderContent, ProviderFailed, get_content
from greenroom.identity.saml.documents import SamlRefused
from greenroom.identity.saml.metadata import IdentityProvider, parse_metadata
from greenroom.identity.statements import SignOnProvider
from greenroom.kit.concurrency import CachedReads

METADATA_TYPES: Final = "application/samlmetadata+xml, application/xml, text/xml"


@dataclass(frozen=True, slots=True)
class _CachedMetadata:
    revision: str
    content: bytes
    expires_s: float
    """Monotonic time."""


class MetadataCache:
    """Caches the metadata documents of identity providers by address. Each process has one cache. An entry belongs to a
    revision of the provider's row, as in `ProviderCache`."""

    def __init__(self) -> None:
        self._cached: dict[str, _CachedMetadata] = {}
        self._reads = CachedReads[ProviderContent](SHARED_RESULT_S)

    async def identity_provider(self, provider: SignOnProvider) -> IdentityProvider:
        """Return the identity provider of a provider. Raises ProviderFailed: its metadata cannot be read or used."""
        content = provider.metadata_xml.encode() or await self._content(provider)
        return _parse(content, provider)

    async def newer(self, provider: SignOnProvider) -> IdentityProvider | None:
        """Request the metadata again, although it is cached. None = it has not changed. Raises ProviderFailed: as for
        `identity_provider`."""
        if provider.metadata_xml:
            return None
        before = self._cached.get(provider.metadata_url)
        content = await self._content(provider, again=True)
        return _parse(content, provider) if before is None or content != before.content else None

    async def _content(self, provider: SignOnProvider, *, again: bool = False) -> bytes:
        address, revision, now_s = provider.metadata_url, provider.revision, time.monotonic()
        cached = self._cached.get(address)
        if cached is not None and not again and cached.revision == revision and now_s < cached.expires_s:
            return cached.content
        name = f"{'again ' if again else ''}{revision} {address}"
        answer = await self._reads.get(name, partial(get_content, address, METADATA_TYPES))
        self._cached[address] = _CachedMetadata(revision, answer.content, now_s + answer.cache_s)
        return answer.content


def _parse(content: bytes, provider: SignOnProvider) -> IdentityProvider:
    try:
        return parse_metadata(content, provider.issuer, datetime.now(UTC))
    except SamlRefused as error:
        raise ProviderFailed(str(error)) from error
