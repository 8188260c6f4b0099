-- Leases that an earlier version granted do not say whether a recording is required. It is for those that are recorded, where
-- the user's groups require a recording now. The group with the lowest priority number decides (core.access.group_settings).

CREATE TEMPORARY TABLE required_leases ON COMMIT DROP AS
SELECT l.lease_id, l.session_id, l.record = 'pictures' AND in_force.record = 'pictures' AS pictures
  FROM leases l JOIN sessions s USING (session_id)
       CROSS JOIN LATERAL (
           SELECT v.value #>> '{}' AS record
             FROM user_groups m JOIN groups g USING (group_id) JOIN group_settings v USING (group_id)
            WHERE m.user_id = s.user_id AND v.name = 'record_leases'
            ORDER BY g.priority, g.name COLLATE "C", g.group_id LIMIT 1) in_force
 WHERE NOT l.must_record AND l.record <> 'none' AND in_force.record <> 'none';

UPDATE leases l SET must_record = true, record_required = r.pictures FROM required_leases r WHERE r.lease_id = l.lease_id;
UPDATE recordings c SET required = true FROM required_leases r WHERE r.lease_id = c.lease_id AND r.pictures;
UPDATE sessions s SET generation = generation + 1 FROM required_leases r WHERE r.session_id = s.session_id AND s.status <> 'deleted';
SELECT pg_notify('greenroom', 'agent:' || s.agent_id || ':' || s.session_id)
  FROM required_leases r JOIN sessions s USING (session_id) WHERE s.agent_id IS NOT NULL;
