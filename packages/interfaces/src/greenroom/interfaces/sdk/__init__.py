"""Calls of the SDKs of hosted browser services, translated into requests about leases.

Each adapter has a path prefix and a module. An adapter makes requests to `/api/v1` with the caller's API key, so it has
no rules about access. `GREENROOM_SDK_ADAPTERS` switches adapters on.
"""
