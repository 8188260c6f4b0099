-- An edge address that an Agent told after it had joined: not used until an administrator confirms it. NULL = none waits.
ALTER TABLE agents ADD COLUMN edge_url_requested text;
