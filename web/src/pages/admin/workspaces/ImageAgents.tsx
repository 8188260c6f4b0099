import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Text } from '@mantine/core';
import { IconCpu, IconRefresh } from '@tabler/icons-react';
import { useMemo } from 'react';
import { refreshImage } from '../../../api/actions';
import { useAllowed } from '../../../api/auth';
import type { Image } from '../../../api/types';
import { actionsColumn } from '../../../components/columns';
import { DataTable } from '../../../components/DataTable';
import type { Column } from '../../../components/tableState';
import { EmptyState, showDone } from '../../../components/feedback';
import { PullState } from '../../../components/PullState';
import { RowButton } from '../../../components/RowButton';
import { RowLink } from '../../../components/RowLink';
import { ShortId } from '../../../components/ShortId';
import { textIn } from '../../../components/tones';
import { useAction } from '../../../components/useAction';

type OnAgent = Image['agents'][number];

const COLUMNS: Column<OnAgent>[] = [
  {
    key: 'agent',
    title: t`Agent`,
    value: (row) => `${row.hostname} ${row.agent_id}`,
    text: (row) => row.hostname,
    render: (row) => (
      <RowLink to={`/admin/infrastructure/agents/${row.agent_id}`} note={<ShortId id={row.agent_id} />} at="start">
        {row.hostname}
      </RowLink>
    ),
  },
  { key: 'zone', title: t`Zone`, value: (row) => row.zone_name },
  {
    key: 'state',
    title: t`Image`,
    value: (row) => row.state,
    render: (row) => <PullState pull={row} label={t`Pulled to ${{ host: row.hostname }}`} />,
  },
  {
    key: 'digest',
    title: t`Digest`,
    value: (row) => row.digest,
    render: (row) => (
      <Text size="sm" ff="monospace" title={row.digest}>
        {row.digest.replace(/^sha256:/, '').slice(0, 12) || '–'}
      </Text>
    ),
  },
  {
    key: 'error',
    title: t`Error`,
    value: (row) => row.error,
    width: '45%',
    render: (row) => (
      <Text size="sm" c={row.error ? textIn('failure') : undefined} className="anywhere">
        {row.error || '–'}
      </Text>
    ),
  },
];

/** The Agents that have the image of a workspace, and the progress of the other Agents. */
export function ImageAgents({ image }: { image: Image }) {
  const { image_id: imageId, enabled } = image;
  const mayPull = useAllowed()('images_modify') && enabled;
  const columns = useMemo(
    () =>
      mayPull ? [...COLUMNS, actionsColumn<OnAgent>((row) => <PullAgain imageId={imageId} pull={row} />)] : COLUMNS,
    [imageId, mayPull],
  );
  return (
    <DataTable
      caption={t`Image on Agents`}
      list="image-on-agents"
      query={{ data: image.agents, error: null }}
      columns={columns}
      rowKey={(row) => row.agent_id}
      sort="agent"
      minWidth={720}
      empty={
        <EmptyState icon={IconCpu} title={t`No Agent has reported this image yet`}>
          <Trans>
            Agents get the images of enabled workspaces automatically. Without a registry, load the image on one host
            with docker load. The other Agents of the zone copy it.
          </Trans>
        </EmptyState>
      }
    />
  );
}

/** Requests the Agents to pull an image again that an Agent could not pull. */
function PullAgain({ imageId, pull }: { imageId: string; pull: OnAgent }) {
  const again = useAction(
    async () => {
      await refreshImage(imageId);
      showDone(t`The Agents pull the image again.`);
    },
    ['images'],
    t`The image was not pulled again`,
  );
  if (pull.state === 'present' || pull.state === 'pulling') return null;
  return (
    <RowButton
      label={t`Pull again`}
      icon={IconRefresh}
      disabled={again.isPending}
      onClick={() => again.mutate(undefined)}
    />
  );
}
