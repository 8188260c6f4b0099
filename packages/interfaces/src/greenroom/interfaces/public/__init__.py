"""The published interface, `/api/public`: the calls of clients that were written for another product."""
