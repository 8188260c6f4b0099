import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Group, Text } from '@mantine/core';
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
import { WhyButton } from '../../../why/WhyButton';

type OnAgent = Image['agents'][number];

const columnsOf = (image: Image): Column<OnAgent>[] => [
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
    render: (row) => <State row={row} image={image} />,
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

/** The state of the image on an Agent, and why the Agent cannot start a session without it. */
function State({ row, image }: { row: OnAgent; image: Image }) {
  const { agent_id: id, hostname: host, state } = row;
  const allowed = useAllowed();
  return (
    <Group gap="xs" wrap="nowrap">
      <PullState pull={row} label={t`Pulled to ${host}`} />
      {state !== 'present' && allowed('agents_view') && (
        <WhyButton subject={{ kind: 'agent', id, image: image.image_id }} about={t`Agent ${{ hostname: host }}`} />
      )}
    </Group>
  );
}

/** The Agents that have the image of a workspace, and the progress of the other Agents. */
export function ImageAgents({ image }: { image: Image }) {
  const mayPull = useAllowed()('images_modify') && image.enabled;
  const columns = useMemo(() => {
    const actions = actionsColumn<OnAgent>((row) => <PullAgain imageId={image.image_id} pull={row} />);
    return mayPull ? [...columnsOf(image), actions] : columnsOf(image);
  }, [image, mayPull]);
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
          {image.enabled ? (
            <Trans>
              Agents get the images of enabled workspaces automatically. Without a registry, load the image on one host
              with docker load. The other Agents of the zone copy it.
            </Trans>
          ) : (
            <Trans>The workspace is disabled. Agents get the images of enabled workspaces only.</Trans>
          )}
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
