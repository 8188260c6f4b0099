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
