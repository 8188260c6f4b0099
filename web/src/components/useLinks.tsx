import { Anchor } from '@mantine/core';
import type { ReactNode } from 'react';
import { Link } from 'react-router';
import { useAllowed } from '../api/auth';

/** Returns a function that makes a text a link, if the user may view the page: `(address, text, permission)`. */
export function useLinks(): (address: string, text: ReactNode, permission: string) => ReactNode {
  const allowed = useAllowed();
  return (address, text, permission) =>
    allowed(permission) ? (
      <Anchor component={Link} to={address} size="sm">
        {text}
      </Anchor>
    ) : (
      text
    );
}
