-- Leases have a limit of their own, max_leases_per_user. A group that limits sessions limits leases to the same number,
-- as its sessions and leases together were limited until now.
INSERT INTO group_settings (group_id, name, value)
    SELECT group_id, 'max_leases_per_user', value FROM group_settings WHERE name = 'max_kasms_per_user'
    ON CONFLICT DO NOTHING;
