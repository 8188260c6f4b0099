-- What is said of a part that is away, and of what was not heard to its end.

-- The output of a command was still open when no more of it was waited for.
ALTER TABLE session_commands ADD COLUMN output_complete boolean NOT NULL DEFAULT true;

-- Why the container runtime of an Agent's host does not answer; empty when it does.
ALTER TABLE agents ADD COLUMN runtime_error text NOT NULL DEFAULT '';

-- An Agent by the name of its host, for sentences; where several have that name also by its zone, or in one zone its id.
CREATE INDEX agents_hostname ON agents (hostname);
CREATE FUNCTION agent_name(a agents) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN bool_or(o.zone_id = a.zone_id) THEN format('%s (%s)', a.hostname, left(a.agent_id::text, 8))
        WHEN count(*) > 0 THEN format('%s (zone %s)', a.hostname, (SELECT zone_name FROM zones z WHERE z.zone_id = a.zone_id))
        ELSE a.hostname END
    FROM agents o WHERE o.hostname = a.hostname AND o.agent_id <> a.agent_id
$$;
