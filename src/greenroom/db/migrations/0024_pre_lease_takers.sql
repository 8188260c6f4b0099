-- The user who leased a session for another user, with a log-in. The lease ends when this user may no longer do that.

ALTER TABLE leases ADD COLUMN taken_by uuid;            -- null = the user of the session, or an API key
CREATE INDEX leases_taken_by ON leases (taken_by) WHERE taken_by IS NOT NULL;
