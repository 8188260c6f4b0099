import { Progress, Stack, Text } from '@mantine/core';

interface Props {
  used: number;
  total: number;
  /** The format of the numbers. */
  format: (value: number) => string;
  label: string;
}

/** A bar that shows the used part of a total. */
export function Meter({ used, total, format, label }: Props) {
  const percent = total > 0 ? Math.min(100, (used / total) * 100) : 0;
  return (
    <Stack gap={4} miw={100}>
      <Text size="xs" className="nowrap number">
        {format(used)} of {format(total)}
      </Text>
      <Progress value={percent} size="sm" color={percent > 90 ? 'failure' : 'accent'} aria-label={label} />
    </Stack>
  );
}
