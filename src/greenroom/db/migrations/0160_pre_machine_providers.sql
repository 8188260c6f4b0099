-- Providers of machines are found by entry points: those that are installed beside the api and the Managers, by name.

ALTER TABLE machine_pools DROP CONSTRAINT machine_pools_provider_check;
ALTER TABLE machine_pools ADD CONSTRAINT machine_pools_provider_check CHECK (provider ~ '^[a-z][a-z0-9_-]{0,62}$');
