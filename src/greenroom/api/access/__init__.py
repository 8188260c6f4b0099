"""Users, groups, log-ins and API keys: routes, and rules that also apply to the published interface."""
