# pyright: basic, reportMissingImports=false
"""Log in and launch with generated clients: `launch.py URL KEY SECRET USER PASSWORD IMAGE`; prints the sessions."""

from __future__ import annotations

import base64
import ssl
import sys

from published import Client as PublishedClient
from published.api.default import request_kasm
from published.models import RequestKasmBody
from v1 import AuthenticatedClient, Client
from v1.api.account import get_me, login
from v1.api.sessions import launch_session
from v1.models import LoginBody, SessionCreate

url, key, secret, username, password, image_id = sys.argv[1:]
tls = ssl.create_default_context()

with Client(url, headers={"Sec-Fetch-Site": "same-origin"}, verify_ssl=tls) as person:
    answer = login.sync_detailed(client=person, body=LoginBody(username, password))
    assert answer.status_code == 200, answer
    user_id = get_me.sync(client=person).user.user_id
    launched = launch_session.sync_detailed(client=person, body=SessionCreate(image_id=image_id))
    sys.stdout.write(f"log-in {launched.status_code} {launched.parsed.session_id}\n")

basic = base64.b64encode(f"{key}:{secret}".encode()).decode()
with AuthenticatedClient(url, token=basic, prefix="Basic", verify_ssl=tls) as program:
    body = SessionCreate(image_id=image_id, user_id=user_id)
    launched = launch_session.sync_detailed(client=program, body=body)
    sys.stdout.write(f"key {launched.status_code} {launched.parsed.session_id}\n")

with PublishedClient(url, verify_ssl=tls) as client:
    asked = RequestKasmBody(api_key=key, api_key_secret=secret)
    asked.additional_properties = {"user_id": str(user_id), "image_id": image_id}
    answer = request_kasm.sync_detailed(client=client, body=asked)
    sys.stdout.write(f"published {answer.status_code} {answer.parsed['kasm_id']}\n")
