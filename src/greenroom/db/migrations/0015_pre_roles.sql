-- Roles of the members of groups, one row for each place. A deleted zone or group takes its row with it, so that an
-- assignment never becomes wider.
CREATE TABLE group_roles (
    group_id       uuid NOT NULL REFERENCES groups ON DELETE CASCADE,
    role           text NOT NULL,
    zone_id        uuid REFERENCES zones ON DELETE CASCADE,
    scope_group_id uuid REFERENCES groups ON DELETE CASCADE,
    CHECK (zone_id IS NULL OR scope_group_id IS NULL)       -- both null = the whole installation
);
CREATE UNIQUE INDEX group_roles_once ON group_roles (group_id, role, coalesce(zone_id, scope_group_id, group_id));
CREATE INDEX group_roles_zone ON group_roles (zone_id) WHERE zone_id IS NOT NULL;
CREATE INDEX group_roles_scope_group ON group_roles (scope_group_id) WHERE scope_group_id IS NOT NULL;

-- The grants of a group: its codes, and its roles in the notation of core/access/roles.py.
CREATE VIEW group_grants AS
    SELECT g.group_id, p.code AS granted FROM groups g, unnest(g.permissions) AS p (code)
    UNION ALL
    SELECT group_id, 'role:' || role || CASE WHEN zone_id IS NOT NULL THEN '@zone:' || zone_id
                                             WHEN scope_group_id IS NOT NULL THEN '@group:' || scope_group_id
                                             ELSE '' END
    FROM group_roles;
