# Written by script/generate_client.py from asynchronous_greenroom.py: run script/lint --fix after that file changes.
# Written by script/generate_from_api.py from the api document as asynchronous_greenroom.py: run script/lint --fix.
"""The client for programs without asyncio."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from greenroom.client.models import Lease, RecordedRow, Recording, Secret
from greenroom.client.requests import list_of_texts, without_none
from greenroom.client.synchronous import Connection


class Greenroom(Connection):
    """A deployment, used with an API key; a context manager.

    `ca_file` is a file with the CA certificate of the deployment, if the system does not trust that CA. A `transport`
    replaces the network.
    """

    def leases(self, tag: str | None = None, *, ended: bool | None = None) -> list[Lease]:
        """List leases, newest first. Callers without `sessions_view` get only the leases that they hold.

        `tag`: only leases with this word, or name=word
        `ended`: include leases whose session was deleted in the last days
        """
        return msgspec.convert(self.rows("/leases", without_none(tag=tag, ended=ended)), type=list[Lease])

    def secrets(self) -> list[Secret]:
        """List secrets by name. Callers without `secrets_view` get only their own secrets."""
        return msgspec.convert(self.rows("/secrets"), type=list[Secret])

    def create_secret(
        self,
        name: str,
        hosts: Sequence[str],
        value: str,
        *,
        header: str | None = None,
        template: str | None = None,
        description: str | None = None,
        users: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
        keys: Sequence[str] | None = None,
    ) -> Secret:
        """Store a secret.

        The value is encrypted and never returned. To let others use it, the caller needs `secrets_create`.

        `name`: name by which leases request it
        `hosts`: names such as api.example.com, or .example.com for all hosts directly below
        `value`: value of the secret; never returned
        `header`: header that contains it; a header of this name from the program is replaced
        `template`: value of the header, with {secret} in the place of the secret
        `users`: users who may use it, in addition to the owner
        `groups`: groups whose members may use it
        `keys`: API keys that may use it, in addition to those of the owner
        """
        return self.ask(
            Secret,
            "POST",
            "/secrets",
            without_none(
                name=name,
                hosts=list_of_texts(hosts, "hosts", '["api.github.com"]'),
                value=value,
                header=header,
                template=template,
                description=description,
                users=None if users is None else list_of_texts(users, "users", '["…"]'),
                groups=None if groups is None else list_of_texts(groups, "groups", '["…"]'),
                keys=None if keys is None else list_of_texts(keys, "keys", '["…"]'),
            ),
        )

    def change_secret(
        self,
        secret_id: str,
        *,
        name: str | None = None,
        hosts: Sequence[str] | None = None,
        value: str | None = None,
        header: str | None = None,
        template: str | None = None,
        description: str | None = None,
        users: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
        keys: Sequence[str] | None = None,
    ) -> Secret:
        """Change a secret; omitted fields keep their values. The filters of running leases apply the change within
        seconds.

        A change of `hosts`, `header` or `template` needs `value`, too. An API key needs `secrets_modify`, also for
        its owner's secrets.

        `name`: name by which leases request it
        `hosts`: names such as api.example.com, or .example.com for all hosts directly below
        `value`: present or new value; None = no change
        `header`: header that contains it; a header of this name from the program is replaced
        `template`: value of the header, with {secret} in the place of the secret
        `users`: users who may use it, in addition to the owner
        `groups`: groups whose members may use it
        `keys`: API keys that may use it, in addition to those of the owner
        """
        return self.ask(
            Secret,
            "PATCH",
            f"/secrets/{secret_id}",
            without_none(
                name=name,
                hosts=None
                if hosts is None
                else list_of_texts(hosts, "hosts", '["api.github.com", "uploads.github.com"]'),
                value=value,
                header=header,
                template=template,
                description=description,
                users=None if users is None else list_of_texts(users, "users", '["…"]'),
                groups=None if groups is None else list_of_texts(groups, "groups", '["…"]'),
                keys=None if keys is None else list_of_texts(keys, "keys", '["…"]'),
            ),
        )

    def delete_secret(self, secret_id: str) -> None:
        """Delete a secret. The filters of running leases remove it within seconds.

        An API key needs `secrets_delete`, also for its owner's secrets.
        """
        self._delete(f"/secrets/{secret_id}")

    def recordings(self, session_id: str | None = None) -> list[Recording]:
        """List recordings, newest first. Callers without `recordings_view` get only those of their own leases.

        `session_id`: only the recording of the lease of this session
        """
        return msgspec.convert(self.rows("/recordings", without_none(session_id=session_id)), type=list[Recording])

    def recording(self, lease_id: str) -> Recording:
        """Return the recording of a lease, also of a lease that is over."""
        return self.ask(Recording, "GET", f"/leases/{lease_id}/recording")

    def recorded_rows(self, lease_id: str) -> list[RecordedRow]:
        """List the recorded actions, in their order."""
        return msgspec.convert(self.rows(f"/leases/{lease_id}/recording/rows"), type=list[RecordedRow])

    def recorded_picture(self, lease_id: str, number: int) -> bytes:
        """Return the picture of a row.

        `number`: number of the row
        """
        return self.download(f"/leases/{lease_id}/recording/pictures/{number}")

    def delete_recording(self, lease_id: str) -> None:
        """Delete the recording of a lease that is over."""
        self._delete(f"/leases/{lease_id}/recording")
