import { plural, t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Badge, Button, Code, Group, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconBuildingStore, IconPlus } from '@tabler/icons-react';
import { Link } from 'react-router';
import { useAllowed } from '../../../api/auth';
import { changeImage } from '../../../api/actions';
import { imagesQuery } from '../../../api/queries';
import type { Image } from '../../../api/types';
import { Amount } from '../../../components/Amount';
import type { Bulk } from '../../../components/bulk';
import { switches } from '../../../components/bulkSwitch';
import { enabledColumn } from '../../../components/columns';
import { ResourcePage } from '../../../components/ResourcePage';
import { Cut } from '../../../components/Cut';
import type { Column } from '../../../components/tableState';
import { EnabledSwitch } from '../../../components/EnabledSwitch';
import { bytes, cores } from '../../../components/format';
import { ImageIcon } from '../../../components/ImageIcon';
import { RowLink } from '../../../components/RowLink';
import { PullState } from '../../../components/PullState';
import { WhyButton, WhyLink } from '../../../why/WhyButton';

const BULK: Bulk<Image> = {
  noun: 'workspace',
  nameOf: ({ friendly_name }) => friendly_name,
  touched: ['images'],
  actions: switches({
    effects: {
      enable: t`The members of its groups can launch it.`,
      disable: t`No user can launch it. Sessions of users continue.`,
    },
    run: ({ image_id }, enabled) => changeImage(image_id, { enabled }),
  }),
};

/** Workspaces. */
export function Workspaces() {
  const allowed = useAllowed();
  const columns: Column<Image>[] = [
    { key: 'workspace', title: t`Workspace`, value: (row) => row.friendly_name, render: (row) => <Name image={row} /> },
    enabledColumn((row) => (
      <EnabledSwitch
        enabled={row.enabled}
        name={t`Workspace ${{ name: row.friendly_name }}`}
        list="images"
        disabled={!allowed('images_modify')}
        onChange={(enabled) => changeImage(row.image_id, { enabled })}
      />
    )),
    { key: 'image', title: t`Docker Image`, value: (row) => row.name, render: (row) => <ImageName name={row.name} /> },
    {
      key: 'available',
      title: t`Image on Agents`,
      value: (row) => (row.available ? t`yes` : t`no`),
      render: (row) => <Available image={row} />,
    },
    { key: 'cores', title: t`Cores`, value: (row) => row.cores, render: (row) => <Amount>{cores(row.cores)}</Amount> },
    { key: 'memory', title: t`Memory`, value: (row) => row.memory, render: (row) => <Memory image={row} /> },
    {
      key: 'categories',
      title: t`Categories`,
      value: (row) => row.categories.join(', '),
      render: (row) => <Cut>{row.categories.join(', ')}</Cut>,
    },
    { key: 'zone', title: t`Zone`, value: (row) => row.zone_name ?? t`any` },
  ];
  const add = allowed('images_create') && (
    <Group gap="sm">
      <Button
        component={Link}
        to="/admin/catalogue"
        variant="default"
        leftSection={<IconBuildingStore size={16} aria-hidden />}
      >
        <Trans>Add from Catalogue</Trans>
      </Button>
      <Button component={Link} to="/admin/workspaces/new" leftSection={<IconPlus size={16} aria-hidden />}>
        <Trans>Add Workspace</Trans>
      </Button>
    </Group>
  );
  return (
    <ResourcePage
      note={t`Workspaces are the images that users can launch. The launcher, the start page of users, shows a workspace to the members of its groups.`}
      list="workspaces"
      query={useQuery(imagesQuery)}
      columns={columns}
      rowKey={(image) => image.image_id}
      sort="workspace"
      bulk={allowed('images_modify') ? BULK : undefined}
      minWidth={960}
      empty={t`No workspaces yet`}
      emptyNote={t`A workspace is a container image with a name, limits and groups.`}
      buttons={add}
    />
  );
}

function Name({ image }: { image: Image }) {
  return (
    <Group gap="sm" wrap="nowrap">
      <ImageIcon name={image.friendly_name} src={image.image_src} size={24} />
      <RowLink to={`/admin/workspaces/${image.image_id}`} note={image.description}>
        {image.friendly_name}
      </RowLink>
    </Group>
  );
}

function ImageName({ name }: { name: string }) {
  return (
    <Cut at="start" wide>
      <Code>{name}</Code>
    </Cut>
  );
}

/** The number of Agents that have the image, and the state on an Agent that pulls it or failed. */
function Available({ image }: { image: Image }) {
  const { image_id: id, friendly_name: workspace } = image;
  const allowed = useAllowed();
  const missing = image.agents.find(({ state }) => state !== 'present');
  const about = t`image of ${workspace} on the Agents`;
  const total = image.agents.length;
  const having = image.agents.filter(({ state }) => state === 'present').length;
  const other = ['failed', 'pulling'].map((state) => image.agents.find((each) => each.state === state)).find(Boolean);
  return (
    <Group gap="xs" wrap="nowrap">
      {having > 0 ? (
        <Text size="sm" className="nowrap">
          {having < total ? t`${having} of ${plural(total, { one: '# Agent', other: '# Agents' })}` : t`Yes`}
        </Text>
      ) : (
        !other && (
          <Badge variant="default" miw="max-content">
            <Trans>not on any Agent</Trans>
          </Badge>
        )
      )}
      {other && <PullState pull={other} label={t`Pulled to ${{ host: other.hostname }}`} />}
      {missing
        ? allowed('agents_view') && (
            <WhyButton subject={{ kind: 'agent', id: (other ?? missing).agent_id, image: id }} about={about} />
          )
        : having === 0 && <WhyLink to={`/admin/workspaces/${id}?tab=agents`} about={about} />}
    </Group>
  );
}

function Memory({ image }: { image: Image }) {
  return (
    <span className="number nowrap">
      {bytes(image.memory)}
      {image.memory_limit !== null && (
        <span className="row-note beside">
          <Trans>limit {{ limit: bytes(image.memory_limit) }}</Trans>
        </span>
      )}
    </span>
  );
}
