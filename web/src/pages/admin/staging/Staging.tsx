import { Badge, Button, Stack, Text, Tooltip } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useQuery } from '@tanstack/react-query';
import { IconPlus, IconStack2 } from '@tabler/icons-react';
import { useState } from 'react';
import { useAllowed } from '../../../api/auth';
import { stagingQuery } from '../../../api/queries';
import { PERMISSION_FIELDS, type StagingConfig } from '../../../api/types';
import { type Column, DataTable } from '../../../components/DataTable';
import { EmptyState } from '../../../components/feedback';
import { trimmed } from '../../../components/format';
import { PageHeader } from '../../../components/PageHeader';
import { ConfigActions } from './ConfigActions';
import { ConfigForm } from './ConfigForm';
import { PERMISSION_LABELS } from './permissions';
import { PoolState } from './PoolState';

/** Sessions → Staging: the pools of sessions that are already running when somebody asks for one. */
export function Staging() {
  const configs = useQuery(stagingQuery);
  const allowed = useAllowed();
  const [opened, { open, close }] = useDisclosure(false);
  const [edited, setEdited] = useState<StagingConfig | null>(null);
  const create = () => {
    setEdited(null);
    open();
  };
  const edit = (config: StagingConfig) => {
    setEdited(config);
    open();
  };
  const createButton = allowed('staging_create') && (
    <Button leftSection={<IconPlus size={16} aria-hidden />} onClick={create}>
      Create New Config
    </Button>
  );
  const columns: Column<StagingConfig>[] = [
    { key: 'zone', title: 'Deployment Zone', value: (row) => row.zone_name },
    {
      key: 'image',
      title: 'Image',
      value: (row) => row.image_friendly_name,
      render: (row) => (
        <Text size="sm" fw={600}>
          {row.image_friendly_name}
        </Text>
      ),
    },
    {
      key: 'desired',
      title: 'Desired Sessions',
      value: (row) => row.num_sessions,
      align: 'right',
      render: (row) => (
        <Text size="sm" className="number" data-testid="desired">
          {row.num_sessions}
        </Text>
      ),
    },
    {
      key: 'current',
      title: 'Current Sessions',
      value: (row) => row.num_current_sessions,
      width: '30%',
      render: (row) => <PoolState config={row} />,
    },
    {
      key: 'expiration',
      title: 'Expiration (Hours)',
      value: (row) => row.expiration,
      align: 'right',
      render: (row) => (
        <Text size="sm" className="number">
          {trimmed(row.expiration)}
        </Text>
      ),
    },
    { key: 'permissions', title: 'Permissions', render: (row) => <Permissions config={row} /> },
    {
      key: 'actions',
      title: 'Actions',
      hideTitle: true,
      align: 'right',
      render: (row) => <ConfigActions config={row} onEdit={() => edit(row)} />,
    },
  ];
  return (
    <>
      <PageHeader title="Staging" actions={createButton}>
        Sessions that are started ahead of time: whoever asks for one is inside at once, and the pool is filled again.
      </PageHeader>
      <DataTable
        caption="Staging Configs"
        query={configs}
        columns={columns}
        rowKey={(row) => row.staging_config_id}
        sort="zone"
        minWidth={980}
        empty={
          <EmptyState icon={IconStack2} title="No staging configs yet" action={createButton}>
            Choose a zone and an image, and how many sessions should be waiting.
          </EmptyState>
        }
      />
      <ConfigForm key={edited?.staging_config_id ?? 'new'} opened={opened} onClose={close} config={edited} />
    </>
  );
}

function Permissions({ config }: { config: StagingConfig }) {
  const granted = PERMISSION_FIELDS.filter((field) => config[field]);
  const text = granted.map((field) => PERMISSION_LABELS[field]).join(', ') || 'nothing allowed';
  return (
    <Tooltip
      label={
        <Stack gap={0}>
          {text.split(', ').map((each) => (
            <span key={each}>{each}</span>
          ))}
        </Stack>
      }
    >
      <Badge variant="default" tabIndex={0} aria-label={`Permissions: ${text}`}>
        {granted.length} of {PERMISSION_FIELDS.length}
      </Badge>
    </Tooltip>
  );
}
