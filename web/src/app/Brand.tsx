import { Group, Text } from '@mantine/core';
import { Link } from 'react-router';

export function Brand() {
  return (
    <Link to="/" style={{ textDecoration: 'none', color: 'inherit' }} aria-label="Greenroom, workspaces">
      <Group gap="xs" wrap="nowrap">
        <img src="/favicon.svg" width={26} height={26} alt="" />
        <Text fw={700} fz="lg" visibleFrom="xs">
          Greenroom
        </Text>
      </Group>
    </Link>
  );
}
