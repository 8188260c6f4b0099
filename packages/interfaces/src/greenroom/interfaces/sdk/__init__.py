"""Calls of the SDKs of hosted browser services, translated into requests about leases.

Each adapter is a module and has a path prefix. It sends requests to `/api/v1` with the API key of the caller, and does
not check permissions itself. `GREENROOM_SDK_ADAPTERS` enables adapters.
"""
