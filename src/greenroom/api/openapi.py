"""Print the OpenAPI document of `/api/v1`: `python -m greenroom.api.openapi > openapi.json`. Needs no database."""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path

from greenroom.api.app import create_app
from greenroom.api.problems import OpenApi
from greenroom.db.database import Database
from greenroom.db.diagnostics.logs import LogWriter
from greenroom.kit.config import ApiConfig
from greenroom.kit.secrets import Secrets


@cache
def document() -> OpenApi:
    """Return the document that the api serves at `/api/v1/openapi.json`."""
    config = ApiConfig(database_url="", secret_key_file=Path())
    db = Database("", application_name="greenroom openapi")
    return create_app(config, db, Secrets(bytes(32)), LogWriter(db, "api")).openapi()


if __name__ == "__main__":
    json.dump(document(), sys.stdout, indent=2)
    sys.stdout.write("\n")
