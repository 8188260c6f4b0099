-- A launch that failed has the reasons of its own zone: the last line of its trace may be of a zone without Agents.
CREATE OR REPLACE FUNCTION launch_sent() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE event text := CASE WHEN NEW.outcome = 'failed' THEN 'launch.failed' ELSE 'launch.done' END;
BEGIN
    IF webhooks_want(event) THEN
        PERFORM send_webhooks(event, webhook_subject(NEW.user_id, NEW.image_id, NEW.zone_id) || jsonb_build_object(
            'launch_id', NEW.launch_id, 'session_id', NEW.session_id, 'outcome', NEW.outcome,
            'duration_ms', NEW.duration_ms, 'reason', coalesce(
                (SELECT string_agg(step ->> 'reason', ' ' ORDER BY number)
                   FROM jsonb_array_elements(NEW.steps) WITH ORDINALITY AS s (step, number)
                  WHERE NEW.outcome = 'failed' AND step ->> 'step' = 'on_demand_here' AND NOT (step ->> 'used')::boolean),
                NEW.steps -> -1 ->> 'reason')));
    END IF;
    RETURN NULL;
END $$;
