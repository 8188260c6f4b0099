import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { List } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { changeManager } from '../../../api/actions';
import { useAllowed } from '../../../api/auth';
import { managersQuery } from '../../../api/queries';
import type { Manager } from '../../../api/types';
import { EnabledSwitch } from '../../../components/EnabledSwitch';

interface Props {
  manager: Manager;
  labeled?: boolean;
}

/** Enables or disables a Manager. Shows the consequence for its zone before. */
export function ManagerSwitch({ manager, labeled = false }: Props) {
  const managers = useQuery(managersQuery);
  const allowed = useAllowed();
  const { instance_id: name } = manager;
  return (
    <EnabledSwitch
      enabled={manager.enabled}
      name={t`Manager ${name}`}
      list="managers"
      disabled={!allowed('managers_modify')}
      consequence={consequenceOf(manager, managers.data ?? [])}
      labeled={labeled}
      onChange={(enabled) => changeManager(manager.manager_id, { enabled })}
    />
  );
}

/**
 * The consequence of disabling a Manager for its zone. Null if there is none, and for the last enabled Manager: the server refuses
 * to disable that one and explains the alternative.
 */
function consequenceOf(manager: Manager, all: Manager[]): ReactNode {
  const { instance_id: name, zone_id, zone_name: zone } = manager;
  const others = all.filter((each) => each.zone_id === zone_id && each.enabled && each.instance_id !== name);
  const running = others.filter(({ status }) => status === 'running');
  if (others.length === 0 || (running.length > 0 && !manager.is_primary)) return null;
  const names = others.map((each) => each.instance_id).join(', ');
  return (
    <List size="sm" spacing="xs">
      {running.length > 0 ? (
        <List.Item>{successionOf(zone, running)}</List.Item>
      ) : (
        <List.Item>
          <Trans>
            No other enabled Manager of zone {zone} is running (status unknown: {names}). No session of the zone starts
            or ends until one of them runs.
          </Trans>
        </List.Item>
      )}
      <List.Item>{t`Running sessions continue.`}</List.Item>
      <List.Item>
        <Trans>
          {name} is not stopped. It answers Agents with 503 until it is enabled again. Enabling it does not make it
          Primary.
        </Trans>
      </List.Item>
    </List>
  );
}

/** Who becomes Primary of the zone after the Primary is disabled. */
function successionOf(zone: string, managers: Manager[]): string {
  const [one, ...more] = managers;
  if (!one || more.length > 0)
    return t`It is the Primary of zone ${zone}. Another enabled Manager becomes Primary immediately, and the Agents of the zone register with it.`;
  const { instance_id: name } = one;
  return t`It is the Primary of zone ${zone}. ${name} becomes Primary immediately, and the Agents of the zone register with it.`;
}
