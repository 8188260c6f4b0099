-- Machines that are ordered and given back by themselves (core.fleet.machines).

-- Which machines may be ordered in a zone. A deleted pool stays until its last machine is gone.
CREATE TABLE machine_pools (
    machine_pool_id  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name             text NOT NULL CHECK (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    zone_id          uuid NOT NULL REFERENCES zones,
    enabled          boolean NOT NULL DEFAULT false,
    provider         text NOT NULL CHECK (provider IN ('command', 'webhook', 'libcloud', 'simulated')),
    options          jsonb NOT NULL DEFAULT '{}',
    secrets          jsonb NOT NULL DEFAULT '{}',       -- name → sealed text (kit.secrets)
    cores            double precision NOT NULL CHECK (cores > 0),       -- of one machine, as it is declared
    memory           bigint NOT NULL CHECK (memory > 0),                -- bytes
    min_machines     integer NOT NULL DEFAULT 0 CHECK (min_machines >= 0),
    max_machines     integer NOT NULL DEFAULT 1 CHECK (max_machines >= min_machines),
    standby_cores    double precision NOT NULL DEFAULT 0 CHECK (standby_cores >= 0),
    standby_memory   bigint NOT NULL DEFAULT 0 CHECK (standby_memory >= 0),
    idle_s           double precision NOT NULL DEFAULT 900 CHECK (idle_s >= 0),
    order_deadline_s double precision NOT NULL DEFAULT 900 CHECK (order_deadline_s > 0),
    schedule         jsonb NOT NULL DEFAULT '[]',       -- core.fleet.machines.schedule.Hint
    join_url         text NOT NULL,
    public_url       text NOT NULL,
    ca_sha256        text NOT NULL DEFAULT '',
    edge_url         text NOT NULL,
    failures         integer NOT NULL DEFAULT 0,        -- of orders, in a row
    next_try         timestamptz,
    call_failures    integer NOT NULL DEFAULT 0,        -- of calls of the provider, in a row
    next_call        timestamptz,
    last_error       text NOT NULL DEFAULT '',
    listed           timestamptz,                       -- when the provider last showed its machines
    deleted          timestamptz,
    created          timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX machine_pools_name_unique ON machine_pools (name) WHERE deleted IS NULL;
CREATE INDEX machine_pools_zone ON machine_pools (zone_id);

-- An order is here from before its machine is asked for until the provider no longer shows it; ended ones stay for a
-- while, with their reasons.
CREATE TABLE machine_orders (
    machine_order_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    machine_pool_id  uuid REFERENCES machine_pools ON DELETE SET NULL,
    pool_name        text NOT NULL,
    zone_name        text NOT NULL,
    state            text NOT NULL DEFAULT 'ordered'
        CHECK (state IN ('ordered', 'created', 'joined', 'draining', 'releasing', 'ended')),
    reason           text NOT NULL,                     -- why it was ordered
    state_reason     text NOT NULL DEFAULT '',          -- why it is in its state
    token_hash       bytea,                             -- of the join token, by which its Agent is known
    agent_id         uuid REFERENCES agents ON DELETE SET NULL,
    hostname         text NOT NULL DEFAULT '',
    ref              text,                              -- the provider's name of the machine
    failed           boolean NOT NULL DEFAULT false,
    ordered          timestamptz NOT NULL DEFAULT clock_timestamp(),
    deadline         timestamptz NOT NULL,              -- by which its Agent has to join
    asked            timestamptz,                       -- when the provider was asked to create it
    created          timestamptz,
    joined           timestamptz,
    draining         timestamptz,
    releasing        timestamptz,
    ended            timestamptz,
    changed          timestamptz NOT NULL DEFAULT clock_timestamp(),
    surplus_since    timestamptz
);
CREATE INDEX machine_orders_open ON machine_orders (machine_pool_id) WHERE state <> 'ended';
CREATE INDEX machine_orders_ordered ON machine_orders (ordered, machine_order_id);
CREATE INDEX machine_orders_ended ON machine_orders (ended) WHERE state = 'ended';
CREATE INDEX machine_orders_agent ON machine_orders (agent_id) WHERE agent_id IS NOT NULL;
