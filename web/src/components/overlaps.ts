/** The durations for which the former secret stays valid after a rotation, in seconds. */
export const OVERLAPS = [
  { value: '0', label: 'End at once' },
  { value: '3600', label: '1 hour' },
  { value: '86400', label: '1 day' },
  { value: '604800', label: '7 days' },
  { value: '2592000', label: '30 days' },
];
