"""Who makes the machines of a pool: providers with one contract (`contract.Provider`) and one conformance suite."""
