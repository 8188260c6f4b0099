import type { User } from '../../../api/types';

/** Whether a user can log in, in one word. */
export function stateOf({ disabled, locked }: User): 'disabled' | 'locked' | 'enabled' {
  return disabled ? 'disabled' : locked ? 'locked' : 'enabled';
}
