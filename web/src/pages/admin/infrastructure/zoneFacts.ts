/** The facts of a zone in words. */

import { plural, t } from '@lingui/core/macro';
import type { Zone } from '../../../api/types';

/** The numbers of Managers and Agents of a zone. */
export function countsOf({ num_managers: managers, num_agents: agents }: Zone): string {
  return t`${plural(managers, { one: '# Manager', other: '# Managers' })}, ${plural(agents, { one: '# Agent', other: '# Agents' })}`;
}

const STRATEGIES: Record<string, string> = {
  'Least Load': t`Least Load`,
  'Most Load': t`Most Load`,
  'Least Kasms': t`Least sessions`,
  'Most Kasms': t`Most sessions`,
};

/** The strategy with the word of the console for sessions. */
export function strategyOf({ load_balancing_strategy: strategy }: Zone): string {
  return STRATEGIES[strategy] ?? strategy;
}

/** How browsers reach the streams of a zone. */
export function proxyOf({ proxy_connections, proxy_hostname, proxy_port }: Zone): string {
  const address = `${proxy_hostname}:${proxy_port}`;
  return proxy_connections ? t`Yes` : t`No, at ${address}`;
}
