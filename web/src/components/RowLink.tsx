import { createContext, type ReactNode, use } from 'react';
import { Link } from 'react-router';

/** The path of the item in the panel beside the list. */
export const OpenPathContext = createContext<string | null>(null);

/** The name of the item of a row, as a link to its page. `note` is shown beside it in small letters. */
export function RowLink({ to, children, note }: { to: string; children: ReactNode; note?: ReactNode }) {
  const isOpen = use(OpenPathContext) === to.split('?', 1)[0];
  const link = (
    <Link to={to} className="row-link mantine-focus-auto" data-whole aria-current={isOpen ? 'true' : undefined}>
      {children}
    </Link>
  );
  if (!note) return link;
  return (
    <div className="row-named">
      {link}
      <div className="row-note" data-whole>
        {note}
      </div>
    </div>
  );
}

/** The name of the item of a row, if the item has no page. */
export function RowName({ children, note }: { children: ReactNode; note?: ReactNode }) {
  return (
    <div className="row-named">
      <span className="row-name" data-whole>
        {children}
      </span>
      {note && (
        <div className="row-note" data-whole>
          {note}
        </div>
      )}
    </div>
  );
}
