"""Providers of machines, all with the same contract (`contract.Provider`) and one conformance suite."""
