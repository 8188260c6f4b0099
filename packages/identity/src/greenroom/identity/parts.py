"""The parts of the api that sign-on uses, and the providers as this process knows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request

from greenroom.api.diagnostics.audit import RefusalLog
from greenroom.api.installation import Snapshot
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.identity import statements
from greenroom.identity.provider import Documents, OidcClient
from greenroom.identity.refusals import Refusal, SignOnRefused
from greenroom.identity.statements import SignOnProvider
from greenroom.kit.secrets import Secrets


@dataclass(frozen=True, slots=True)
class SignOn:
    """The parts; one instance per process."""

    db: Database
    logs: LogWriter
    secrets: Secrets
    snapshot: Snapshot
    refusals: RefusalLog
    documents: Documents

    async def enabled_provider(self, name: str) -> SignOnProvider:
        """Return an enabled provider. Raises SignOnRefused: there is none with this name."""
        provider = await statements.find_provider(self.db, name)
        if provider is None or not provider.enabled:
            raise SignOnRefused(Refusal.PROVIDER_DISABLED, "The provider does not exist or is disabled.")
        return provider

    async def client(self, provider: SignOnProvider) -> OidcClient:
        """Return Greenroom as a client of the provider. Raises ProviderFailed: it does not answer as it should."""
        return OidcClient(provider, self.secret(provider), await self.documents.endpoints(provider.issuer))

    def secret(self, provider: SignOnProvider) -> str | None:
        encrypted = provider.client_secret_encrypted
        return self.secrets.decrypt(encrypted) if encrypted is not None else None


def parts_of(state: Any) -> SignOn:
    """Return the parts in the state of the api; the first call creates them."""
    if not hasattr(state, "sign_on"):
        state.sign_on = SignOn(state.db, state.logs, state.secrets, state.snapshot, state.refusals, Documents())
    return state.sign_on


async def _parts(request: Request) -> SignOn:
    return parts_of(request.app.state)


SignOnDep = Annotated[SignOn, Depends(_parts)]
