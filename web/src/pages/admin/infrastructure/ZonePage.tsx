import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Anchor, Button, Card, Group } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { Link } from 'react-router';
import { useAllowed } from '../../../api/auth';
import { agentsQuery, managersQuery, zoneQuery } from '../../../api/queries';
import type { Zone } from '../../../api/types';
import { useItem } from '../../../components/address';
import { useAskedAction } from '../../../components/askedAction';
import { DetailsPage } from '../../../components/DetailsPage';
import { Facts } from '../../../components/Facts';
import { ZoneForm } from './ZoneForm';
import { countsOf, proxyOf, strategyOf } from './zoneFacts';

const LIST = '/admin/infrastructure/zones';

/** One zone: its Managers, its Agents and its settings. */
export function ZonePage() {
  const { zoneId = '' } = useItem();
  const zone = useQuery(zoneQuery(zoneId));
  const mayEdit = useAllowed()('zones_modify');
  const [editing, setEditing] = useState(false);
  useAskedAction((action) => action === 'edit' && mayEdit && setEditing(true));
  return (
    <>
      <DetailsPage
        list={{ to: LIST, title: t`Zones` }}
        query={zone}
        title={({ zone_name }) => zone_name}
        note={countsOf}
        actions={() =>
          mayEdit && (
            <Button variant="default" onClick={() => setEditing(true)}>
              <Trans>Edit</Trans>
            </Button>
          )
        }
        tabs={(data) => [{ key: 'details', title: t`Details`, content: <Details zone={data} /> }]}
      />
      {editing && zone.data && <ZoneForm zone={zone.data} onClose={() => setEditing(false)} />}
    </>
  );
}

function Details({ zone }: { zone: Zone }) {
  const allowed = useAllowed();
  const isOfZone = ({ zone_id }: { zone_id: string }) => zone_id === zone.zone_id;
  const managers = useQuery({ ...managersQuery, enabled: allowed('managers_view') }).data?.filter(isOfZone);
  const agents = useQuery({ ...agentsQuery, enabled: allowed('agents_view') }).data?.filter(isOfZone);
  return (
    <Card withBorder className="surface" p="md" maw={900}>
      <Facts
        facts={[
          [
            t`Managers`,
            managers && (
              <Links
                links={managers.map((each) => [`/admin/infrastructure/managers/${each.manager_id}`, each.instance_id])}
              />
            ),
          ],
          [
            t`Docker Agents`,
            agents && (
              <Links links={agents.map((each) => [`/admin/infrastructure/agents/${each.agent_id}`, each.hostname])} />
            ),
          ],
          [t`Allow Origin Domain`, zone.allow_origin_domain],
          [t`Upstream Auth Address`, zone.upstream_auth_address],
          [t`Load Balance Strategy`, strategyOf(zone)],
          [t`Search Alternate Zones`, zone.search_alternate_zones ? t`Yes` : t`No`],
          [t`Proxy Connections`, proxyOf(zone)],
          [t`ID`, zone.zone_id],
        ]}
      />
    </Card>
  );
}

function Links({ links }: { links: [to: string, name: string][] }) {
  if (links.length === 0) return t`none`;
  return (
    <Group gap="sm">
      {links.map(([to, name]) => (
        <Anchor key={to} component={Link} to={to} size="sm">
          {name}
        </Anchor>
      ))}
    </Group>
  );
}
