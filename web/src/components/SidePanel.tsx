import { t } from '@lingui/core/macro';
import { Skeleton } from '@mantine/core';
import { IconArrowsMaximize, IconChevronDown, IconChevronUp, IconX } from '@tabler/icons-react';
import { type ReactNode, Suspense, useMemo } from 'react';
import { matchPath, type Params, useSearchParams } from 'react-router';
import { ErrorBoundary } from '../app/ErrorBoundary';
import { PlaceContext, placeInPanel } from '../places';
import { PanelContext, panelSearch } from './address';
import { RowButton } from './RowButton';
import styles from './SidePanel.module.css';

interface Props {
  /** Shows the item of the next or the previous row. */
  onMove: (step: 1 | -1) => void;
  onClose: () => void;
}

interface PanelProps extends Props {
  /** The path of the page of the item; without it, the item has no page. */
  path?: string;
  /** The ids in this path. */
  item?: Params;
  children: ReactNode;
}

const NO_IDS: Params = {};

/** The panel beside a list, with the details of one item. */
export function SidePanel({ path, item = NO_IDS, onMove, onClose, children }: PanelProps) {
  const [params, setParams] = useSearchParams();
  const context = useMemo(() => ({ params, setParams, item }), [params, setParams, item]);
  return (
    <section className={styles.panel} aria-label={t`Details beside the list`} tabIndex={-1} data-side-panel>
      <div className={styles.bar}>
        <RowButton label={t`Previous row (K)`} icon={IconChevronUp} onClick={() => onMove(-1)} />
        <RowButton label={t`Next row (J)`} icon={IconChevronDown} onClick={() => onMove(1)} />
        <span className="grows" />
        {path && (
          <RowButton label={t`Open the full page`} icon={IconArrowsMaximize} to={`${path}${panelSearch(params)}`} />
        )}
        <RowButton label={t`Close the panel (Escape)`} icon={IconX} onClick={onClose} />
      </div>
      <div className={styles.content}>
        <PanelContext value={context}>{children}</PanelContext>
      </div>
    </section>
  );
}

/** The page of an item beside its list. */
export function PagePanel({ path, ...props }: Props & { path: string }) {
  const place = useMemo(() => placeInPanel(path), [path]);
  const item = useMemo(() => (place && matchPath(place.path, path)?.params) ?? NO_IDS, [place, path]);
  if (!place) return null;
  const { page: Page } = place;
  return (
    <SidePanel path={path} item={item} {...props}>
      <PlaceContext value={place}>
        <ErrorBoundary key={path}>
          <Suspense fallback={<Skeleton h={320} radius="md" />}>
            <Page />
          </Suspense>
        </ErrorBoundary>
      </PlaceContext>
    </SidePanel>
  );
}
