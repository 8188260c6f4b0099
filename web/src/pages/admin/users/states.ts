import type { User } from '../../../api/types';

/** The state of an account, in one word. */
export function stateOf({ disabled, locked }: User): 'disabled' | 'locked' | 'enabled' {
  return disabled ? 'disabled' : locked ? 'locked' : 'enabled';
}
