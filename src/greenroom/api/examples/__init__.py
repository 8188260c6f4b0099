"""Examples of every operation of `/api/v1` and of every webhook message, for the OpenAPI document.

`operations/<tag>.json` and `webhooks.json` are recorded: `script/examples` makes the calls of
`tests/database/api/examples` and writes what was asked and answered.
"""
