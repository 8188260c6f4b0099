-- Service accounts, and secrets of API keys that overlap.

-- The users of programs. No person can log in as such a user: it has no password, and log-ins are refused.
CREATE TABLE service_accounts (
    user_id     uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    description text NOT NULL DEFAULT '',
    contact     text NOT NULL DEFAULT '',       -- who is responsible
    expires     timestamptz,                    -- null = never
    networks    text[] NOT NULL DEFAULT '{}'    -- core.access.networks: from where its keys may be used; empty = anywhere
);
CREATE FUNCTION service_account_has_no_password() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM service_accounts s WHERE s.user_id = NEW.user_id) THEN
        RAISE EXCEPTION 'a service account has no password' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER service_account_has_no_password BEFORE UPDATE OF password_hash ON users FOR EACH ROW
    WHEN (NEW.password_hash IS NOT NULL) EXECUTE FUNCTION service_account_has_no_password();

-- After a rotation, the former secret is valid until this time.
ALTER TABLE api_keys ADD COLUMN old_secret_hash bytea, ADD COLUMN old_until timestamptz;

CREATE OR REPLACE FUNCTION webhook_sends(w webhooks) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT w.enabled AND (w.owner_id IS NULL OR EXISTS (
        SELECT FROM users u JOIN user_groups ug USING (user_id) JOIN group_grants g USING (group_id)
          LEFT JOIN service_accounts a USING (user_id)
         WHERE u.user_id = w.owner_id AND NOT u.disabled AND NOT u.locked
           AND (a.expires IS NULL OR a.expires > now())
           AND g.granted IN ('global_admin', 'webhooks_view', 'webhooks_create', 'role:administrator', 'role:auditor')))
$$;
