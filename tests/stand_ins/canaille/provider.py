# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
"""An OpenID Connect provider for tests: the Python package canaille, with its own forms.

The configuration is the first argument as JSON: `client`, the fields of the client, and `users`, the fields of each
user. The address of the provider is the first line of output.
"""

from __future__ import annotations

import json
import sys
from wsgiref.simple_server import make_server

from canaille import create_app
from canaille.app import models
from canaille.backends import Backend
from joserfc.jwk import RSAKey


def main() -> None:
    config = json.loads(sys.argv[1])
    server = make_server("127.0.0.1", 0, lambda *_: [])
    address = f"127.0.0.1:{server.server_port}"
    key = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True).as_dict(private=True)
    app = create_app(
        {
            "SECRET_KEY": "only for tests",
            "SERVER_NAME": address,
            "PREFERRED_URL_SCHEME": "http",
            "SESSION_COOKIE_SECURE": False,
            "CANAILLE": {"DATABASE": "memory", "LOGGING": {"version": 1}},
            "CANAILLE_OIDC": {"ACTIVE_JWKS": [key], "USERINFO_MAPPING": {"PREFERRED_USERNAME": "{{ user.user_name }}"}},
        }
    )
    with app.app_context():
        for fields in config["users"]:
            Backend.instance.save(models.User(**fields))
        client = models.Client(**config["client"])
        Backend.instance.save(client)
        client.audience = [client]
        Backend.instance.save(client)
    server.set_app(app)
    sys.stdout.write(f"http://{address}\n")
    sys.stdout.flush()
    server.serve_forever()


main()
