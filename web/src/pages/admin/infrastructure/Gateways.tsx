import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { useQuery } from '@tanstack/react-query';
import { deleteGateway } from '../../../api/actions';
import { gatewaysQuery } from '../../../api/queries';
import type { Gateway } from '../../../api/types';
import { timeColumn } from '../../../components/columns';
import { ResourcePage } from '../../../components/ResourcePage';
import { RemoveAction } from '../../../components/RowAction';
import { RowPanelLink } from '../../../components/RowLink';
import type { Column } from '../../../components/tableState';
import { ShortId } from '../../../components/ShortId';
import { AddButton } from './AddButton';
import { JoinTokens } from './JoinTokens';

const COLUMNS: Column<Gateway>[] = [
  {
    key: 'gateway',
    title: t`Gateway`,
    value: (row) => row.hostname,
    render: (row) => <RowPanelLink row={row.gateway_id}>{row.hostname}</RowPanelLink>,
  },
  {
    key: 'id',
    title: t`Gateway ID`,
    value: (row) => row.gateway_id,
    render: (row) => <ShortId id={row.gateway_id} />,
  },
  { key: 'zone', title: t`Zone`, value: (row) => row.zone_name },
  timeColumn('registered', t`Registered`, (row) => row.registered),
  timeColumn('last', t`Last Reported Time`, (row) => row.last_reported, t`never`),
];

/** Infrastructure → Gateways: web gateways that joined on separate hosts. */
export function Gateways() {
  return (
    <ResourcePage
      note={t`Web gateways on separate hosts. Each serves the console, the API and the streams at another address.`}
      query={useQuery(gatewaysQuery)}
      columns={COLUMNS}
      list="gateways"
      rowKey={(gateway) => gateway.gateway_id}
      panelTitle={({ hostname }) => hostname}
      sort="zone"
      empty={t`No gateway has joined`}
      emptyNote={t`The gateway on the host of the API is not listed. “Add Gateway” creates a join token for another gateway.`}
      buttons={<AddButton role="gateway" />}
      remove={({ gateway_id, hostname }) => (
        <RemoveAction
          noun={t`gateway`}
          name={hostname}
          onConfirm={() => deleteGateway(gateway_id)}
          touched={['gateways']}
        >
          <Trans>
            The API refuses all further requests of this gateway. The gateway continues to serve the Agents and Managers
            that it knows. It serves no new ones until it joins again.
          </Trans>
        </RemoveAction>
      )}
    >
      <JoinTokens role="gateway" />
    </ResourcePage>
  );
}
