"""Examples of every operation of `/api/v1` and of every webhook message, for the OpenAPI document.

`operations/<tag>.json` and `webhooks.json` are recorded: `script/examples` runs the calls of
`tests/database/api/examples` and writes the requests and the answers.
"""
