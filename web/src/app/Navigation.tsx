import { t } from '@lingui/core/macro';
import { Link } from 'react-router';
import { useMe } from '../api/auth';
import type { Me } from '../api/types';
import { isBelow, type Listed, mayOpen, placesIn, type Section, SECTION_TITLES, sectionAt, SECTIONS } from '../places';
import styles from './Navigation.module.css';

/** The places with a page that the user may open. A place leads to its first such page. */
export function Navigation({ pathname, onNavigate }: { pathname: string; onNavigate: () => void }) {
  const me = useMe();
  const here = sectionAt(pathname);
  return (
    <nav aria-label={t`Administration`} className={styles.places}>
      {(Object.keys(SECTIONS) as Section[]).map((section) => {
        const [first] = pagesFor(me, section);
        const Icon = SECTIONS[section];
        return (
          first && (
            <Link
              key={section}
              to={first.path}
              className={styles.place}
              onClick={onNavigate}
              aria-current={section === here ? 'true' : undefined}
            >
              <Icon size={18} stroke={1.7} aria-hidden />
              {SECTION_TITLES[section]}
            </Link>
          )
        );
      })}
    </nav>
  );
}

/** The pages of the place of an address; nothing if the user may open only one. */
export function Tabs({ pathname }: { pathname: string }) {
  const me = useMe();
  const section = sectionAt(pathname);
  const pages = section ? pagesFor(me, section) : [];
  if (!section || pages.length < 2) return null;
  return (
    <nav aria-label={SECTION_TITLES[section]} className={styles.tabs}>
      {pages.map(({ path, title, link = title }) => (
        <Link
          key={path}
          to={path}
          className={styles.tab}
          aria-current={isBelow(pathname, path) ? (pathname === path ? 'page' : 'true') : undefined}
        >
          {link}
        </Link>
      ))}
    </nav>
  );
}

function pagesFor(me: Me | null | undefined, section: Section): Listed[] {
  return placesIn(section).filter((place) => mayOpen(me, place));
}
