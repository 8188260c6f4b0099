-- Web filter policies. Ids that workspaces had before named nothing.
CREATE TABLE filter_policies (
    filter_policy_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name             text NOT NULL CONSTRAINT filter_policies_name_unique UNIQUE,
    description      text NOT NULL DEFAULT '',
    default_action   text NOT NULL DEFAULT 'deny' CHECK (default_action IN ('allow', 'deny')),
    allow            text[] NOT NULL DEFAULT '{}',      -- domains, each with everything below it; none is in both
    deny             text[] NOT NULL DEFAULT '{}',
    created          timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER filter_policies_notify AFTER INSERT OR UPDATE OR DELETE ON filter_policies
    FOR EACH STATEMENT EXECUTE FUNCTION notify_row('filter_policies');

UPDATE images SET filter_policy_id = NULL WHERE filter_policy_id IS NOT NULL;
ALTER TABLE images ADD CONSTRAINT images_filter_policy FOREIGN KEY (filter_policy_id) REFERENCES filter_policies;
