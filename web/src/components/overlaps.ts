import { t } from '@lingui/core/macro';

/** The durations for which the former secret stays valid after a rotation, in seconds. */
export const OVERLAPS = [
  { value: '0', label: t`End at once` },
  { value: '3600', label: t`1 hour` },
  { value: '86400', label: t`1 day` },
  { value: '604800', label: t`7 days` },
  { value: '2592000', label: t`30 days` },
];
