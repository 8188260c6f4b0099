-- A renamed zone is still found by the names it had (gateways, Managers and `greenroom up` are configured by name), until
-- another zone takes such a name.
ALTER TABLE zones ADD COLUMN former_names text[] NOT NULL DEFAULT '{}';

-- When what an Agent offers was last lowered. Administrators may lower it below what is reserved: sessions that were
-- there go on; only one that is newer than this must fit (invariant I5).
ALTER TABLE agent_capacity ADD COLUMN offer_lowered timestamptz NOT NULL DEFAULT now();
CREATE FUNCTION agent_offer_lowered() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.offer_lowered := clock_timestamp();
    RETURN NEW;
END $$;
CREATE TRIGGER agent_offer_lowered BEFORE UPDATE OF cores, memory ON agent_capacity FOR EACH ROW
    WHEN (NEW.cores < OLD.cores OR NEW.memory < OLD.memory) EXECUTE FUNCTION agent_offer_lowered();

-- With which join token an Agent was admitted: the same token may be shown again while the answer was lost. A token
-- with an agent_id lets that known Agent join again, and nobody else.
ALTER TABLE agents ADD COLUMN joined_with bytea;
ALTER TABLE join_tokens ADD COLUMN agent_id uuid REFERENCES agents ON DELETE CASCADE;
