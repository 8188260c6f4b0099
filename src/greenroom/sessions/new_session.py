"""A new session: its id and credential, and the encrypted values of its row."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from greenroom.core.launch.wanted import SessionUser, SpecMaker
from greenroom.core.workspace.session_spec import File
from greenroom.db.session.sessions import NewSession, StagedAs
from greenroom.kit.secrets import Secrets, new_secret


def new_session(
    secrets: Secrets,
    make_spec: SpecMaker,
    *,
    zone_id: str,
    agent_id: str,
    memory: int,
    permissions: Mapping[str, bool],
    user: SessionUser | None = None,
    staged: StagedAs | None = None,
    term: int | None = None,
) -> NewSession:
    """A session for a user or a pool, as `NewSession` has it.

    Raises:
        GreenroomError: from `make_spec`.
    """
    session_id = str(uuid.uuid4())
    spec = make_spec(session_id=session_id, credential=new_secret())
    return NewSession(
        session_id=session_id,
        zone_id=zone_id,
        agent_id=agent_id,
        spec=spec,
        memory=memory,
        permissions=permissions,
        credential_encrypted=secrets.encrypt(spec.credential),
        files_encrypted=_encrypted(secrets, spec.files),
        user=user,
        staged=staged,
        term=term,
    )


def _encrypted(secrets: Secrets, files: Sequence[File]) -> bytes | None:
    return secrets.encrypt(json.dumps([asdict(file) for file in files])) if files else None
