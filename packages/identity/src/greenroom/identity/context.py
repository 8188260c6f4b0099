"""The services of the api that the sign-on code uses: database, log, settings, and the cache of the providers."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any

from fastapi import Depends, Request

from greenroom.api.diagnostics.audit import RefusalLog
from greenroom.api.installation import SettingsSnapshot
from greenroom.core.log_codes import LogCode
from greenroom.core.text import one_line
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.identity import statements
from greenroom.identity.directory.client import DirectoryHealth
from greenroom.identity.provider import OidcClient, ProviderCache
from greenroom.identity.refusals import Refusal, SignOnRefused
from greenroom.identity.saml.cache import MetadataCache
from greenroom.identity.statements import SignOnProvider
from greenroom.kit.secrets import Secrets


@dataclass(frozen=True, slots=True)
class SignOnContext:
    """The services that the sign-on code uses; one instance per process."""

    db: Database
    logs: LogWriter
    secrets: Secrets
    snapshot: SettingsSnapshot
    """The current settings of the installation."""
    refusals: RefusalLog
    provider_cache: ProviderCache
    saml_metadata: MetadataCache
    directories: dict[str, DirectoryHealth] = field(default_factory=dict[str, DirectoryHealth])
    """Id → state of a directory in this process."""

    async def enabled_provider(self, name: str, protocol: statements.Protocol | None = None) -> SignOnProvider:
        """Return the enabled provider with this name, and of this protocol: a message of one protocol must not reach
        log-ins of the other. Raises SignOnRefused: there is no such provider."""
        provider = await statements.find_provider(self.db, name)
        if provider is None or not provider.enabled or protocol not in (None, provider.protocol):
            raise SignOnRefused(Refusal.PROVIDER_DISABLED, "The provider does not exist or is disabled.")
        return provider

    async def log_refusal(self, request: Request, name: str, refusal: Refusal, cause: str) -> None:
        """Log a refused log-in through a provider. Today lists a provider that does not answer."""
        self.refusals.log_refused_sign_on(request, name, str(refusal), one_line(cause))
        if refusal is Refusal.PROVIDER_DOWN and (provider := await statements.find_provider(self.db, name)):
            await statements.record_problem(self.db, provider.provider_id, cause)

    async def oidc_client(self, provider: SignOnProvider) -> OidcClient:
        """Return the client for requests to the provider. Raises ProviderFailed: the discovery document of the provider
        cannot be read or is not valid."""
        return OidcClient(provider, self.client_secret(provider), await self.provider_cache.endpoints(provider))

    def directory_health(self, directory_id: str) -> DirectoryHealth:
        """Return the state of a directory in this process."""
        log_skip = partial(self.logs.write, LogCode.DIRECTORY_SKIPPED)
        return self.directories.setdefault(directory_id, DirectoryHealth(log_skip))

    def client_secret(self, provider: SignOnProvider) -> str | None:
        encrypted = provider.client_secret_encrypted
        return self.secrets.decrypt(encrypted) if encrypted is not None else None


def context_of(state: Any) -> SignOnContext:
    """Return the sign-on context in the state of the api; the first call creates the context."""
    if not hasattr(state, "sign_on"):
        state.sign_on = SignOnContext(
            state.db, state.logs, state.secrets, state.snapshot, state.refusals, ProviderCache(), MetadataCache()
        )
    return state.sign_on


async def _sign_on_context(request: Request) -> SignOnContext:
    return context_of(request.app.state)


SignOnContextDep = Annotated[SignOnContext, Depends(_sign_on_context)]
