"""Calls of the SDKs of hosted browser services, translated into requests about leases.

An adapter is a module for one SDK, with its own path prefix. It sends requests to `/api/v1` with the API key of the
caller, so that the routes check the permissions. The setting `GREENROOM_SDK_ADAPTERS` enables adapters.
"""
