import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { useQuery } from '@tanstack/react-query';
import { deleteZone } from '../../../api/actions';
import { zonesQuery } from '../../../api/queries';
import type { Zone } from '../../../api/types';
import { ResourcePage } from '../../../components/ResourcePage';
import { RemoveAction } from '../../../components/RowAction';
import { RowLink } from '../../../components/RowLink';
import type { Column } from '../../../components/tableState';
import { ZoneForm } from './ZoneForm';
import { countsOf, proxyOf, strategyOf } from './zoneFacts';

const COLUMNS: Column<Zone>[] = [
  {
    key: 'zone',
    title: t`Zone`,
    value: (row) => row.zone_name,
    render: (row) => (
      <RowLink to={`/admin/infrastructure/zones/${row.zone_id}`} note={<span className="nowrap">{countsOf(row)}</span>}>
        {row.zone_name}
      </RowLink>
    ),
  },
  { key: 'origin', title: t`Allow Origin Domain`, value: (row) => row.allow_origin_domain },
  { key: 'upstream', title: t`Upstream Auth Address`, value: (row) => row.upstream_auth_address },
  { key: 'strategy', title: t`Load Balance Strategy`, value: strategyOf },
  { key: 'alternate', title: t`Search Alternate Zones`, value: (row) => (row.search_alternate_zones ? t`Yes` : t`No`) },
  { key: 'proxy', title: t`Proxy Connections`, value: proxyOf },
];

/** Infrastructure → Zones. */
export function Zones() {
  return (
    <ResourcePage
      note={t`Each zone has its own Managers and Agents. A session runs in one zone.`}
      query={useQuery(zonesQuery)}
      columns={COLUMNS}
      list="zones"
      rowKey={(zone) => zone.zone_id}
      sort="zone"
      minWidth={920}
      empty={t`No zones`}
      emptyNote={t`A zone is created when its first Manager starts.`}
      form={(zone, close) => <ZoneForm zone={zone} onClose={close} />}
      editName={(zone) => zone.zone_name}
      remove={({ zone_id, zone_name }) => (
        <RemoveAction noun={t`zone`} name={zone_name} onConfirm={() => deleteZone(zone_id)} touched={['zones']}>
          <Trans>A zone can be deleted if it has no Managers, Agents, sessions and staging configs.</Trans>
        </RemoveAction>
      )}
    />
  );
}
