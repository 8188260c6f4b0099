-- Join tokens are listed, revoked and kept for a while after their end, so that a refusal can say what became of one.
-- `used` counts what was admitted, `uses_left` what may still be.
ALTER TABLE join_tokens ADD COLUMN join_token_id uuid NOT NULL DEFAULT gen_random_uuid() UNIQUE;
ALTER TABLE join_tokens ADD COLUMN used integer NOT NULL DEFAULT 0 CHECK (used >= 0);
ALTER TABLE join_tokens ADD COLUMN revoked timestamptz;
ALTER TABLE join_tokens ADD COLUMN created_by text NOT NULL DEFAULT '';
ALTER TABLE join_tokens DROP CONSTRAINT join_tokens_role_check;
ALTER TABLE join_tokens ADD CONSTRAINT join_tokens_role_check CHECK (role IN ('agent', 'gateway'));

-- Where an Agent's process is: start of the machine and folder. Two live processes with one identity differ here, even
-- where one machine is the copy of the other.
ALTER TABLE agents ADD COLUMN place text NOT NULL DEFAULT '';
-- The last time somebody with this Agent's identity was refused; away when the Agent is admitted again.
ALTER TABLE agents ADD COLUMN refused_reason text;
ALTER TABLE agents ADD COLUMN refused_at timestamptz;
ALTER TABLE agents ADD COLUMN refused_address text;

-- Web gateways on hosts of their own, each with a credential; those beside an api use the installation's key.
CREATE TABLE gateways (
    gateway_id      uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    zone_id         uuid NOT NULL REFERENCES zones,
    hostname        text NOT NULL DEFAULT '',
    credential_hash bytea NOT NULL,
    joined_with     bytea,
    registered      timestamptz NOT NULL DEFAULT now(),
    last_reported   timestamptz
);

-- The authority that signs the certificates of edge gateways; its key is encrypted with the installation's key.
CREATE TABLE fleet_authority (
    only_one      boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    certificate   text NOT NULL,
    key_encrypted bytea NOT NULL,
    created       timestamptz NOT NULL DEFAULT now()
);
