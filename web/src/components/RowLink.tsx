import { Text } from '@mantine/core';
import type { ReactNode } from 'react';
import { Link } from 'react-router';

/** The name of a row's thing: leads to its page; `note` stands below in small letters. */
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

/** The name of a row's thing that has no page of its own. */
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
