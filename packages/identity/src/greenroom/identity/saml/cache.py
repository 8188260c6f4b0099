"""The metadata of identity providers, read over HTTP and cached."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import partial
from typing import Final

from greenroom.identity.provider import CACHE_S, SHARED_RESULT_S, ProviderFailed, get_content
from greenroom.identity.saml.documents import SamlRefused
from greenroom.identity.saml.metadata import IdentityProvider, parse_metadata
from greenroom.identity.statements import SignOnProvider
from greenroom.kit.concurrency import CachedReads

METADATA_TYPES: Final = "application/samlmetadata+xml, application/xml, text/xml"


class MetadataCache:
    """Caches the metadata documents of identity providers by address. Each process has one cache."""

    def __init__(self) -> None:
        self._cached: dict[str, tuple[float, bytes]] = {}
        self._reads = CachedReads[bytes](SHARED_RESULT_S)

    async def identity_provider(self, provider: SignOnProvider) -> IdentityProvider:
        """Return the identity provider of a provider. Raises ProviderFailed: its metadata cannot be read or used."""
        content = provider.metadata_xml.encode() or await self._content(provider.metadata_url)
        return _parse(content, provider)

    async def newer(self, provider: SignOnProvider) -> IdentityProvider | None:
        """Request the metadata again, although it is cached. None = it has not changed. Raises ProviderFailed: as for
        `identity_provider`."""
        if provider.metadata_xml:
            return None
        _, before = self._cached.get(provider.metadata_url, (0.0, b""))
        content = await self._content(provider.metadata_url, again=True)
        return _parse(content, provider) if content != before else None

    def forget(self, address: str) -> None:
        """Remove the metadata at an address from the cache, so that it is requested again when it is next needed."""
        self._cached.pop(address, None)

    async def _content(self, address: str, *, again: bool = False) -> bytes:
        read_s, cached = self._cached.get(address, (0.0, b""))
        now_s = time.monotonic()
        if cached and not again and now_s - read_s <= CACHE_S:
            return cached
        name = f"{'again ' if again else ''}{address}"
        content = await self._reads.get(name, partial(get_content, address, METADATA_TYPES))
        self._cached[address] = now_s, content
        return content


def _parse(content: bytes, provider: SignOnProvider) -> IdentityProvider:
    try:
        return parse_metadata(content, provider.issuer, datetime.now(UTC))
    except SamlRefused as error:
        raise ProviderFailed(str(error)) from error
