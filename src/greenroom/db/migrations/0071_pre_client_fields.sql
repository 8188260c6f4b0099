-- What clients of the published interface keep with a workspace and a user, and read again; it has no effect here.
ALTER TABLE images ADD COLUMN client_fields jsonb NOT NULL DEFAULT '{}';
ALTER TABLE user_attributes ADD COLUMN client_fields jsonb NOT NULL DEFAULT '{}';
