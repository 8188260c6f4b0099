-- Webhooks, their messages, and the triggers that write messages.

CREATE TABLE webhooks (
    webhook_id       uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name             text NOT NULL CONSTRAINT webhooks_name_unique UNIQUE,
    url              text NOT NULL,
    events           text[] NOT NULL,           -- core.webhooks.events.WebhookEvent
    enabled          boolean NOT NULL DEFAULT true,
    secret_encrypted bytea NOT NULL,            -- signs its messages
    created          timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER webhooks_notify AFTER INSERT OR UPDATE OR DELETE ON webhooks
    FOR EACH STATEMENT EXECUTE FUNCTION notify_row('webhooks');

-- One message to one webhook. No foreign key: a launch must not fail because a webhook is deleted at the same time.
CREATE TABLE webhook_deliveries (
    delivery_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    webhook_id  uuid NOT NULL,
    event       text NOT NULL,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),     -- time of the event
    data        jsonb NOT NULL,
    state       text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'delivered', 'given_up')),
    due         timestamptz NOT NULL DEFAULT clock_timestamp(),     -- time of the next attempt; during an attempt: when
                                                                    -- the attempt counts as lost, because its api
                                                                    -- failed
    attempts    integer NOT NULL DEFAULT 0,
    attempted   timestamptz,                    -- time of the last attempt; its result is below
    status      integer,                        -- null = no answer
    duration_ms double precision,
    answer      text NOT NULL DEFAULT '',       -- its beginning
    error       text NOT NULL DEFAULT ''
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook_id, due) WHERE state = 'waiting';
CREATE INDEX webhook_deliveries_list ON webhook_deliveries (webhook_id, at, delivery_id);
CREATE INDEX webhook_deliveries_at ON webhook_deliveries (at);

-- Triggers write the events, in the transaction of the change (docs/adr/0081-write-webhook-messages-in-triggers.md).
-- The WHEN of a trigger defines its event. The data is one of the dataclasses of core.webhooks.events.
CREATE FUNCTION webhooks_want(event text) RETURNS boolean LANGUAGE sql STABLE AS
    'SELECT EXISTS (SELECT FROM webhooks w WHERE w.enabled AND webhooks_want.event = ANY(w.events))';
CREATE FUNCTION send_webhooks(event text, data jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO webhook_deliveries (webhook_id, event, data)
    SELECT w.webhook_id, send_webhooks.event, send_webhooks.data FROM webhooks w
     WHERE w.enabled AND send_webhooks.event = ANY(w.events);
    IF FOUND THEN PERFORM pg_notify('greenroom', 'webhooks:'); END IF;
END $$;
CREATE FUNCTION webhook_subject(of_user uuid, of_image uuid, of_zone uuid) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'user_id', of_user, 'username', (SELECT username FROM users WHERE user_id = of_user),
        'image_id', of_image, 'image_friendly_name', (SELECT friendly_name FROM images WHERE image_id = of_image),
        'zone_id', of_zone, 'zone_name', (SELECT zone_name FROM zones WHERE zone_id = of_zone))
$$;

-- A pool that was short becomes full once: `fell_short` is true until this event.
CREATE FUNCTION pool_fell_short() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.fell_short := NEW.shortfall_code IS NOT NULL AND (OLD.fell_short OR NEW.shortfall_code <> 'starting');
    RETURN NEW;
END $$;
CREATE TRIGGER pool_fell_short BEFORE UPDATE OF shortfall_code ON staging_configs FOR EACH ROW
    WHEN (NEW.shortfall_code IS DISTINCT FROM OLD.shortfall_code) EXECUTE FUNCTION pool_fell_short();
CREATE FUNCTION pool_sent() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF webhooks_want(TG_ARGV[0]) THEN
        PERFORM send_webhooks(TG_ARGV[0],
            webhook_subject(NULL, NEW.image_id, NEW.zone_id) - 'user_id' - 'username' || jsonb_build_object(
                'staging_config_id', NEW.staging_config_id, 'num_sessions', NEW.num_sessions,
                'shortfall_code', NEW.shortfall_code, 'reason', NEW.shortfall_reason));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER pool_short AFTER UPDATE OF shortfall_code ON staging_configs FOR EACH ROW
    WHEN (NEW.shortfall_code <> 'starting' AND NEW.shortfall_code IS DISTINCT FROM OLD.shortfall_code)
    EXECUTE FUNCTION pool_sent('pool.short');
CREATE TRIGGER pool_full AFTER UPDATE OF shortfall_code ON staging_configs FOR EACH ROW
    WHEN (OLD.fell_short AND NOT NEW.fell_short AND NEW.deleted IS NULL) EXECUTE FUNCTION pool_sent('pool.full');

CREATE FUNCTION session_sent() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF webhooks_want(TG_ARGV[0]) THEN
        PERFORM send_webhooks(TG_ARGV[0],
            webhook_subject(coalesce(NEW.user_id, NEW.set_aside_for), NEW.image_id, NEW.zone_id) || jsonb_build_object(
                'session_id', NEW.session_id, 'staging_config_id', NEW.staging_config_id, 'launch_id', NEW.launch_id,
                'status', NEW.status, 'created', NEW.created,
                'reason', CASE WHEN NEW.status = 'failed' THEN coalesce(NEW.set_aside_reason, NEW.error)
                               ELSE NEW.ended_reason END));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER session_assigned_at_once AFTER INSERT ON sessions FOR EACH ROW
    WHEN (NEW.user_id IS NOT NULL) EXECUTE FUNCTION session_sent('session.assigned');
CREATE TRIGGER session_assigned AFTER UPDATE OF user_id ON sessions FOR EACH ROW
    WHEN (NEW.user_id IS NOT NULL AND OLD.user_id IS NULL) EXECUTE FUNCTION session_sent('session.assigned');
CREATE TRIGGER session_running AFTER UPDATE OF status ON sessions FOR EACH ROW
    WHEN (NEW.status = 'running' AND OLD.status <> 'running' AND NEW.user_id IS NOT NULL)
    EXECUTE FUNCTION session_sent('session.running');
CREATE TRIGGER session_failed AFTER UPDATE OF status ON sessions FOR EACH ROW
    WHEN (NEW.status = 'failed' AND OLD.status <> 'failed') EXECUTE FUNCTION session_sent('session.failed');
CREATE TRIGGER session_ended AFTER UPDATE OF status ON sessions FOR EACH ROW
    WHEN (NEW.status = 'deleted' AND OLD.status <> 'deleted' AND NEW.assigned IS NOT NULL)
    EXECUTE FUNCTION session_sent('session.ended');

-- The reason of a failed launch consists of the reasons in its own zone, because the last step of the trace may be
-- about a zone without Agents.
CREATE FUNCTION launch_sent() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE event text := CASE WHEN NEW.outcome = 'failed' THEN 'launch.failed' ELSE 'launch.done' END;
BEGIN
    IF webhooks_want(event) THEN
        PERFORM send_webhooks(event, webhook_subject(NEW.user_id, NEW.image_id, NEW.zone_id) || jsonb_build_object(
            'launch_id', NEW.launch_id, 'session_id', NEW.session_id, 'outcome', NEW.outcome,
            'duration_ms', NEW.duration_ms, 'reason', coalesce(
                (SELECT string_agg(step ->> 'reason', ' ' ORDER BY number)
                   FROM jsonb_array_elements(NEW.steps) WITH ORDINALITY AS s (step, number)
                  WHERE NEW.outcome = 'failed' AND step ->> 'step' = 'on_demand_here'
                    AND NOT (step ->> 'used')::boolean),
                NEW.steps -> -1 ->> 'reason')));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER launch_sent AFTER INSERT ON launches FOR EACH ROW EXECUTE FUNCTION launch_sent();
CREATE TRIGGER launch_failed AFTER UPDATE OF outcome ON launches FOR EACH ROW
    WHEN (NEW.outcome = 'failed' AND OLD.outcome <> 'failed') EXECUTE FUNCTION launch_sent();

CREATE FUNCTION lease_sent(event text, of_session uuid) RETURNS void LANGUAGE sql AS $$
    SELECT send_webhooks(event, webhook_subject(s.user_id, s.image_id, s.zone_id) || jsonb_build_object(
               'lease_id', l.lease_id, 'session_id', l.session_id, 'holder', l.holder, 'tags', l.tags,
               'expires', s.time_limit_ends,
               'reason', CASE WHEN s.status = 'failed' THEN s.error ELSE s.ended_reason END))
      FROM leases l JOIN sessions s USING (session_id) WHERE l.session_id = of_session
$$;
CREATE FUNCTION lease_granted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF webhooks_want('lease.granted') THEN PERFORM lease_sent('lease.granted', NEW.session_id); END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER lease_granted AFTER INSERT ON leases FOR EACH ROW EXECUTE FUNCTION lease_granted();
CREATE FUNCTION lease_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF webhooks_want('lease.ended') AND session_is_over(NEW) AND NOT session_is_over(OLD) THEN
        PERFORM lease_sent('lease.ended', NEW.session_id);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER lease_ended AFTER UPDATE OF status, gave_up ON sessions FOR EACH ROW
    WHEN (NEW.user_id IS NOT NULL AND NEW.status IN ('failed', 'deleting', 'deleted'))
    EXECUTE FUNCTION lease_ended();
