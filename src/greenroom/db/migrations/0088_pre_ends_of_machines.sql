-- What keeps a machine from being lost: what its provider failed to end, showed, or which other Agent was joined on it.

ALTER TABLE machine_pools
    ADD COLUMN secrets_since timestamptz;                   -- from then on all calls use the secrets that there are
ALTER TABLE machine_orders
    ADD COLUMN end_failures integer NOT NULL DEFAULT 0,     -- of calls to end its machine
    ADD COLUMN next_end     timestamptz,                    -- no such call before
    ADD COLUMN shown        timestamptz,                    -- when its machine was first shown after `secrets_since`
    ADD COLUMN machine_id   text NOT NULL DEFAULT '';       -- by which another Agent on its machine is known
UPDATE machine_orders o SET machine_id = a.machine_id FROM agents a WHERE a.agent_id = o.agent_id;
-- An order has joined when its Agent serves, not when it has registered.
UPDATE machine_orders o SET state = 'created' FROM agents a
 WHERE a.agent_id = o.agent_id AND o.state = 'joined' AND a.status = 'pending';
