"""What tests need: builders, clocks, failing runtimes, checkers; of the product one command imports `rehearsal`."""
