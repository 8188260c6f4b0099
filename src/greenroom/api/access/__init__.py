"""Users, groups, log-ins and API keys: routes, published calls, and the rules that both follow."""
