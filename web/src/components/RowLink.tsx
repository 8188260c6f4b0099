import { Text } from '@mantine/core';
import type { ReactNode } from 'react';
import { Link } from 'react-router';

/** The name of the item of a row, as a link to its page. `note` is shown below in small letters. */
export function RowLink({ to, children, note }: { to: string; children: ReactNode; note?: ReactNode }) {
  return (
    <div>
      <Link to={to} className="row-link mantine-focus-auto">
        {children}
      </Link>
      {note && <div className="row-note one-line">{note}</div>}
    </div>
  );
}

/** The name of the item of a row, if the item has no page. */
export function RowName({ children, note }: { children: ReactNode; note?: ReactNode }) {
  return (
    <div>
      <Text size="sm" fw={600}>
        {children}
      </Text>
      {note && <div className="row-note">{note}</div>}
    </div>
  );
}
