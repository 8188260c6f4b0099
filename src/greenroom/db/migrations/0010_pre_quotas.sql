-- How often each core of an Agent is in its offer (`agent_capacity.cores`): the overcommit of CPU Shares, 1 where an
-- administrator says what is offered.
ALTER TABLE agent_capacity ADD COLUMN overcommit double precision NOT NULL DEFAULT 1 CHECK (overcommit > 0);

-- `sessions.cores` are those of the workspace. A core of a quota can be used to the full, so it reserves a whole core of
-- the Agent: as many cores of the offer as the overcommit says.
ALTER TABLE sessions ADD COLUMN cpu_quota boolean NOT NULL
    GENERATED ALWAYS AS (coalesce(spec ->> 'cpu_mode', '') = 'Quotas') STORED;
CREATE FUNCTION reserved_cores(cores double precision, cpu_quota boolean, overcommit double precision)
    RETURNS double precision LANGUAGE sql IMMUTABLE AS 'SELECT CASE WHEN cpu_quota THEN cores * overcommit ELSE cores END';

-- What quotas reserve follows a changed overcommit in the same statement. The row is locked before this runs, so nothing
-- is reserved or released meanwhile.
CREATE FUNCTION agent_overcommit_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.cores_allocated := coalesce((SELECT sum(reserved_cores(s.cores, s.cpu_quota, NEW.overcommit)) FROM sessions s
        WHERE s.agent_id = NEW.agent_id AND s.status <> 'deleted'), 0);
    NEW.offer_lowered := clock_timestamp();  -- it may be, for quotas: sessions that are there go on
    RETURN NEW;
END $$;
CREATE TRIGGER agent_overcommit_changed BEFORE UPDATE OF overcommit ON agent_capacity FOR EACH ROW
    WHEN (NEW.overcommit <> OLD.overcommit) EXECUTE FUNCTION agent_overcommit_changed();
