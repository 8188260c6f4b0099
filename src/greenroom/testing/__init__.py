"""Builders, clocks, failing runtimes and checkers for tests; never imported by the product."""
