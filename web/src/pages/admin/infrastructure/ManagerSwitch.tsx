import { List } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { changeManager } from '../../../api/actions';
import { useAllowed } from '../../../api/auth';
import { managersQuery } from '../../../api/queries';
import type { Manager } from '../../../api/types';
import { EnabledSwitch } from '../../../components/EnabledSwitch';
import { showWarning } from '../../../components/feedback';

/** Enables or disables a Manager; says before what that means for its zone, and after what is not well with it. */
export function ManagerSwitch({ manager, labelled = false }: { manager: Manager; labelled?: boolean }) {
  const managers = useQuery(managersQuery);
  const allowed = useAllowed();
  return (
    <EnabledSwitch
      enabled={manager.enabled}
      name={`Manager ${manager.instance_id}`}
      list="managers"
      disabled={!allowed('managers_modify')}
      consequence={consequenceOf(manager, managers.data ?? [])}
      labelled={labelled}
      onChange={(enabled) => setEnabled(manager, enabled)}
    />
  );
}

async function setEnabled({ manager_id, instance_id }: Manager, enabled: boolean): Promise<void> {
  const { warning } = await changeManager(manager_id, { enabled });
  if (warning) showWarning(`Manager ${instance_id} is disabled`, warning);
}

/**
 * What an administrator should know before disabling it; null where nothing changes for the zone, and for the last enabled one,
 * which the server refuses with what to do instead.
 */
function consequenceOf(manager: Manager, all: Manager[]): ReactNode {
  const { instance_id, zone_id, zone_name } = manager;
  const others = all.filter((each) => each.zone_id === zone_id && each.enabled && each.instance_id !== instance_id);
  const running = others.filter(({ status }) => status === 'running');
  if (others.length === 0 || (running.length > 0 && !manager.is_primary)) return null;
  return (
    <List size="sm" spacing="xs">
      {running.length > 0 ? (
        <List.Item>
          It is the Primary of zone {zone_name}. {nameOf(running)} becomes Primary at once, and the Agents of the zone
          register with it.
        </List.Item>
      ) : (
        <List.Item>
          No other enabled Manager of zone {zone_name} is running ({others.map((each) => each.instance_id).join(', ')}:
          unknown). Until one runs, no session starts or ends there.
        </List.Item>
      )}
      <List.Item>Running sessions go on.</List.Item>
      <List.Item>
        {instance_id} is not stopped: it refuses Agents with 503 until it is enabled again, and does not become Primary
        by that alone.
      </List.Item>
    </List>
  );
}

function nameOf(managers: Manager[]): string {
  const [one, ...more] = managers;
  return one && more.length === 0 ? one.instance_id : 'Another enabled Manager';
}
