-- Agents, gateways, and machines that are ordered automatically.

CREATE TABLE agents (
    agent_id        uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    zone_id         uuid NOT NULL REFERENCES zones,
    machine_id      text NOT NULL DEFAULT '',
    hostname        text NOT NULL DEFAULT '',
    credential_hash bytea NOT NULL,
    status          text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'running', 'missing', 'dead')),
    enabled         boolean NOT NULL DEFAULT true,
    draining        boolean NOT NULL DEFAULT false,
    incarnation     bigint NOT NULL DEFAULT 0,
    seq             bigint NOT NULL DEFAULT 0,
    complete        boolean NOT NULL DEFAULT false,     -- a complete check-in of this incarnation was committed
    manager_id      uuid,                               -- the Manager of its last report
    manager_term    bigint NOT NULL DEFAULT 0,          -- the last term that it received
    registered      timestamptz NOT NULL DEFAULT now(),
    last_reported   timestamptz,
    cores_override  double precision,
    memory_override bigint,
    edge_url        text NOT NULL DEFAULT '',
    edge_url_requested text,                            -- unused until an administrator confirms it; null = no request
    place           text NOT NULL DEFAULT '',           -- the boot of the machine and the folder: it differs between
                                                        -- processes with one identity, even on a copy of the machine
    joined_with     bytea,                              -- a lost answer of the join is repeated for this join token
    refused_reason  text,                               -- the last refusal of a process with this identity; null again
    refused_at      timestamptz,                        -- when the Agent is admitted
    refused_address text,
    runtime_error   text NOT NULL DEFAULT '',           -- why the container runtime does not answer; empty = it does
    lateness        jsonb NOT NULL DEFAULT '{}',        -- the last reported core.fleet.lateness.Lateness; {} = on time
    usage           jsonb NOT NULL DEFAULT '{}',
    crash_loop      text NOT NULL DEFAULT '',           -- why the Agent counts as crash-looping; empty = it does not
    version         text NOT NULL DEFAULT ''            -- the version of Greenroom at its last registration
);
CREATE INDEX agents_hostname ON agents (hostname);

-- The name of an Agent in sentences: its hostname. If several Agents have this hostname, the zone is added; if they are
-- in one zone, the id.
CREATE FUNCTION agent_name(a agents) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN bool_or(o.zone_id = a.zone_id) THEN format('%s (%s)', a.hostname, left(a.agent_id::text, 8))
        WHEN count(*) > 0 THEN
            format('%s (zone %s)', a.hostname, (SELECT zone_name FROM zones z WHERE z.zone_id = a.zone_id))
        ELSE a.hostname END
    FROM agents o WHERE o.hostname = a.hostname AND o.agent_id <> a.agent_id
$$;

-- Tokens are kept for some time after their end, so that a refusal can name its reason. A token with an agent_id is
-- valid only for this Agent, which joins again.
CREATE TABLE join_tokens (
    token_hash    bytea PRIMARY KEY,
    join_token_id uuid NOT NULL DEFAULT gen_random_uuid() UNIQUE,
    role          text NOT NULL DEFAULT 'agent' CHECK (role IN ('agent', 'gateway')),
    zone_id       uuid NOT NULL REFERENCES zones ON DELETE CASCADE,
    agent_id      uuid REFERENCES agents ON DELETE CASCADE,
    enable_agent  boolean NOT NULL DEFAULT false,       -- false = an administrator enables the Agent
    uses_left     integer NOT NULL DEFAULT 1 CHECK (uses_left >= 0),
    used          integer NOT NULL DEFAULT 0 CHECK (used >= 0),
    revoked       timestamptz,
    expires       timestamptz NOT NULL,
    created       timestamptz NOT NULL DEFAULT now(),
    created_by    text NOT NULL DEFAULT ''
);

-- Web gateways on separate hosts, each with a credential. A gateway on the host of an api uses the key of the
-- installation.
CREATE TABLE gateways (
    gateway_id      uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    zone_id         uuid NOT NULL REFERENCES zones,
    hostname        text NOT NULL DEFAULT '',
    credential_hash bytea NOT NULL,
    joined_with     bytea,
    registered      timestamptz NOT NULL DEFAULT now(),
    last_reported   timestamptz
);

-- The authority that signs the certificates of edge gateways. Its key is encrypted with the key of the installation.
CREATE TABLE fleet_authority (
    only_one      boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    certificate   text NOT NULL,
    key_encrypted bytea NOT NULL,
    created       timestamptz NOT NULL DEFAULT now()
);

-- The capacity that an Agent offers, after overrides and overcommit, and the reserved part. `overcommit` is the factor
-- for CPU shares; it is 1 if an administrator sets the offer.
CREATE TABLE agent_capacity (
    agent_id         uuid PRIMARY KEY REFERENCES agents ON DELETE CASCADE,
    cores_reported   double precision NOT NULL DEFAULT 0,
    memory_reported  bigint NOT NULL DEFAULT 0,
    cores            double precision NOT NULL DEFAULT 0,
    memory           bigint NOT NULL DEFAULT 0,
    cores_allocated  double precision NOT NULL DEFAULT 0,
    memory_allocated bigint NOT NULL DEFAULT 0,
    overcommit       double precision NOT NULL DEFAULT 1 CHECK (overcommit > 0),    -- how often `cores` counts a core
    offer_lowered    timestamptz NOT NULL DEFAULT now()     -- only newer sessions must fit into the offer (I5)
);
CREATE FUNCTION agent_offer_lowered() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.offer_lowered := clock_timestamp();
    RETURN NEW;
END $$;
CREATE TRIGGER agent_offer_lowered BEFORE UPDATE OF cores, memory ON agent_capacity FOR EACH ROW
    WHEN (NEW.cores < OLD.cores OR NEW.memory < OLD.memory) EXECUTE FUNCTION agent_offer_lowered();

CREATE TABLE agent_images (
    agent_id   uuid NOT NULL REFERENCES agents ON DELETE CASCADE,
    name       text NOT NULL,
    state      text NOT NULL CHECK (state IN ('present', 'pulling', 'absent', 'failed')),
    digest     text NOT NULL DEFAULT '',
    size_bytes bigint NOT NULL DEFAULT 0,       -- on the disk of the Agent; 0 = unknown
    how        text NOT NULL DEFAULT '' CHECK (how IN ('', 'pulling', 'building', 'copying')),  -- while it arrives
    progress   integer NOT NULL DEFAULT 0,
    error      text NOT NULL DEFAULT '',
    updated    timestamptz NOT NULL DEFAULT now(),
    reason     text NOT NULL DEFAULT '',        -- why the Agent gets the image in this way, as a sentence; empty = it
                                                -- does not get the image
    changed    timestamptz,
    refreshed  timestamptz,
    PRIMARY KEY (agent_id, name)
);
CREATE INDEX agent_images_name ON agent_images (name);
COMMENT ON COLUMN agent_images.changed IS
    'When the Agent first reported another image under this name; NULL = it never did';
COMMENT ON COLUMN agent_images.refreshed IS
    'The newest refresh request that the Agent carried out';

-- The machines that may be ordered in a zone (core.fleet.machines). A deleted pool is kept until its last machine has
-- ended.
CREATE TABLE machine_pools (
    machine_pool_id  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name             text NOT NULL CHECK (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    zone_id          uuid NOT NULL REFERENCES zones,
    enabled          boolean NOT NULL DEFAULT false,
    provider         text NOT NULL CHECK (provider ~ '^[a-z][a-z0-9_-]{0,62}$'),    -- name of an installed entry point
    options          jsonb NOT NULL DEFAULT '{}',
    secrets          jsonb NOT NULL DEFAULT '{}',       -- name → sealed text (kit.secrets)
    cores            double precision NOT NULL CHECK (cores > 0),       -- declared cores of one machine
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
    failures         integer NOT NULL DEFAULT 0,        -- consecutive failed orders
    next_try         timestamptz,
    call_failures    integer NOT NULL DEFAULT 0,        -- consecutive failed calls of the provider
    next_call        timestamptz,
    last_error       text NOT NULL DEFAULT '',
    listed           timestamptz,                       -- when the provider last listed its machines
    deleted          timestamptz,
    created          timestamptz NOT NULL DEFAULT now(),
    secrets_since    timestamptz,                       -- all later calls use the present secrets
    approved_by      text NOT NULL DEFAULT ''           -- who approved that the Agents of ordered machines are enabled
                                                        -- when they join; empty = an administrator enables each
);
CREATE UNIQUE INDEX machine_pools_name_unique ON machine_pools (name) WHERE deleted IS NULL;
CREATE INDEX machine_pools_zone ON machine_pools (zone_id);

-- An order exists from before the request for its machine until the provider no longer lists the machine. Ended orders
-- are kept for some time with their reasons.
CREATE TABLE machine_orders (
    machine_order_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    machine_pool_id  uuid REFERENCES machine_pools ON DELETE SET NULL,
    pool_name        text NOT NULL,
    zone_name        text NOT NULL,
    state            text NOT NULL DEFAULT 'ordered'
        CHECK (state IN ('ordered', 'created', 'joined', 'draining', 'releasing', 'ended')),
    reason           text NOT NULL,                     -- of the order
    state_reason     text NOT NULL DEFAULT '',          -- of its state
    token_hash       bytea,                             -- of the join token, which identifies the Agent of the machine
    agent_id         uuid REFERENCES agents ON DELETE SET NULL,
    hostname         text NOT NULL DEFAULT '',
    ref              text,                              -- the provider's name of the machine
    failed           boolean NOT NULL DEFAULT false,
    ordered          timestamptz NOT NULL DEFAULT clock_timestamp(),
    deadline         timestamptz NOT NULL,              -- of the join of its Agent
    asked            timestamptz,                       -- when the provider received the request
    created          timestamptz,
    joined           timestamptz,
    draining         timestamptz,
    releasing        timestamptz,
    ended            timestamptz,
    changed          timestamptz NOT NULL DEFAULT clock_timestamp(),
    surplus_since    timestamptz,
    end_failures     integer NOT NULL DEFAULT 0,        -- failed requests to end the machine
    next_end         timestamptz,                       -- no such request before
    shown            timestamptz,                       -- when the machine was first listed after `secrets_since`
    machine_id       text NOT NULL DEFAULT ''           -- identifies another Agent on the machine
);
CREATE INDEX machine_orders_open ON machine_orders (machine_pool_id) WHERE state <> 'ended';
CREATE INDEX machine_orders_ordered ON machine_orders (ordered, machine_order_id);
CREATE INDEX machine_orders_ended ON machine_orders (ended) WHERE state = 'ended';
CREATE INDEX machine_orders_agent ON machine_orders (agent_id) WHERE agent_id IS NOT NULL;
