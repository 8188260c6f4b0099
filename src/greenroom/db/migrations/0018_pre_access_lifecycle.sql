-- Owners of webhooks. A webhook sends messages only while its owner may log in and may see webhooks.

ALTER TABLE webhooks ADD COLUMN owner_id uuid REFERENCES users ON DELETE SET NULL;    -- null = the installation
CREATE INDEX webhooks_owner ON webhooks (owner_id) WHERE owner_id IS NOT NULL;

CREATE FUNCTION webhook_sends(w webhooks) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT w.enabled AND (w.owner_id IS NULL OR EXISTS (
        SELECT FROM users u JOIN user_groups ug USING (user_id) JOIN group_grants g USING (group_id)
         WHERE u.user_id = w.owner_id AND NOT u.disabled AND NOT u.locked
           AND g.granted IN ('global_admin', 'webhooks_view', 'webhooks_create', 'role:administrator', 'role:auditor')))
$$;
CREATE OR REPLACE FUNCTION webhooks_want(event text) RETURNS boolean LANGUAGE sql STABLE AS
    'SELECT EXISTS (SELECT FROM webhooks w WHERE webhooks_want.event = ANY(w.events) AND webhook_sends(w))';
CREATE OR REPLACE FUNCTION send_webhooks(event text, data jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO webhook_deliveries (webhook_id, event, data)
    SELECT w.webhook_id, send_webhooks.event, send_webhooks.data FROM webhooks w
     WHERE send_webhooks.event = ANY(w.events) AND webhook_sends(w);
    IF FOUND THEN PERFORM pg_notify('greenroom', 'webhooks:'); END IF;
END $$;

-- The webhooks of a deleted user are disabled, as the API keys are: without an owner, nothing would limit them.
CREATE OR REPLACE FUNCTION users_disable_keys() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE api_keys SET enabled = false WHERE created_by = OLD.user_id;
    UPDATE webhooks SET enabled = false WHERE owner_id = OLD.user_id;
    RETURN OLD;
END $$;
