-- Secrets that the web filter of a lease adds to requests; no session has them.
CREATE TABLE secrets (
    secret_id       uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name            text NOT NULL CONSTRAINT secrets_name_unique UNIQUE,
    description     text NOT NULL DEFAULT '',
    hosts           text[] NOT NULL,            -- core.secret.rules.host
    header          text NOT NULL,
    template        text NOT NULL,
    value_encrypted bytea NOT NULL,
    value_changed   timestamptz NOT NULL DEFAULT now(),
    owner_id        uuid REFERENCES users ON DELETE CASCADE,    -- null = of the installation's first key
    users           uuid[] NOT NULL DEFAULT '{}',               -- who may use it besides
    groups          uuid[] NOT NULL DEFAULT '{}',
    keys            text[] NOT NULL DEFAULT '{}',
    created         timestamptz NOT NULL DEFAULT now()
);

-- Which of them the filter of a lease has; the policy is that lease's own.
CREATE TABLE filter_policy_secrets (
    filter_policy_id uuid NOT NULL REFERENCES filter_policies ON DELETE CASCADE,
    secret_id        uuid NOT NULL REFERENCES secrets ON DELETE CASCADE,
    PRIMARY KEY (filter_policy_id, secret_id)
);
CREATE INDEX filter_policy_secrets_secret ON filter_policy_secrets (secret_id);

DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'greenroom_service') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON secrets, filter_policy_secrets TO greenroom_service;
    END IF;
END $$;

-- The Agents of running sessions are notified at once. A trigger, because a secret also goes with its owner.
CREATE FUNCTION notify_of_secret() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE seen record;
BEGIN
    FOR seen IN
        UPDATE sessions SET generation = generation + 1
         WHERE status <> 'deleted' AND spec ->> 'filter_policy' IN (
               SELECT filter_policy_id::text FROM filter_policy_secrets WHERE secret_id = OLD.secret_id)
        RETURNING agent_id, session_id
    LOOP
        PERFORM pg_notify('greenroom', 'agent:' || seen.agent_id || ':' || seen.session_id);
    END LOOP;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER secret_changed AFTER UPDATE ON secrets FOR EACH ROW
    WHEN ((OLD.name, OLD.hosts, OLD.header, OLD.template, OLD.value_encrypted)
        IS DISTINCT FROM (NEW.name, NEW.hosts, NEW.header, NEW.template, NEW.value_encrypted))
    EXECUTE FUNCTION notify_of_secret();
CREATE TRIGGER secret_deleted BEFORE DELETE ON secrets FOR EACH ROW EXECUTE FUNCTION notify_of_secret();
