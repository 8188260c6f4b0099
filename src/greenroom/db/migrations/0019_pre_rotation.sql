-- Make before break: one replacement is under way per config at a time. A user's session is none, also where it starts
-- anew after a pause: the version before leaves `replaces` in what it assigns.
CREATE UNIQUE INDEX sessions_one_in_rotation ON sessions (staging_config_id)
    WHERE replaces IS NOT NULL AND user_id IS NULL AND status IN ('requested', 'starting');
