import type { ReactNode } from 'react';
import { Link } from 'react-router';

/** The name of the item of a row, as a link to its page. `note` is shown beside it in small letters. */
export function RowLink({ to, children, note }: { to: string; children: ReactNode; note?: ReactNode }) {
  return (
    <div className="row-named">
      <Link to={to} className="row-link mantine-focus-auto">
        {children}
      </Link>
      {note && <div className="row-note">{note}</div>}
    </div>
  );
}

/** The name of the item of a row, if the item has no page. */
export function RowName({ children, note }: { children: ReactNode; note?: ReactNode }) {
  return (
    <div className="row-named">
      <span className="row-name">{children}</span>
      {note && <div className="row-note">{note}</div>}
    </div>
  );
}
