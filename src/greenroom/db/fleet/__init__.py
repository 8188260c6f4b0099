"""SQL statements for zones, Managers, Agents and gateways: their registration, liveness and leadership."""
