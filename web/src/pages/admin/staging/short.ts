import type { StagingConfig } from '../../../api/types';

const CALM = new Set(['starting', 'image-pulling', 'paused']);

/** Whether a shortfall ends without an action, or is the intention of an administrator. */
export function isCalm(code: string): boolean {
  return CALM.has(code);
}

/** Whether a pool has fewer sessions than Desired and needs an action. */
export function isShort({ paused, shortfall }: Pick<StagingConfig, 'paused' | 'shortfall'>): boolean {
  return !paused && shortfall !== null && !isCalm(shortfall.code);
}
