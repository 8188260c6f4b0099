"""Calls of the SDKs of hosted browser services, translated into requests about leases.

Each adapter has a path prefix and a module. An adapter sends requests to `/api/v1` with the API key of the caller, so
it has no separate rules of access. `GREENROOM_SDK_ADAPTERS` enables adapters.
"""
