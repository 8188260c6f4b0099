"""Users, groups, log-ins and API keys: routes, and the rules that both HTTP interfaces follow."""
