import { t } from '@lingui/core/macro';
import { Skeleton } from '@mantine/core';
import { IconArrowsMaximize, IconChevronDown, IconChevronUp, IconX } from '@tabler/icons-react';
import { Suspense, useMemo } from 'react';
import { matchPath, useSearchParams } from 'react-router';
import { ErrorBoundary } from '../app/ErrorBoundary';
import { PlaceContext, placeInPanel } from '../places';
import { PanelContext, panelSearch } from './address';
import { RowButton } from './RowButton';
import styles from './SidePanel.module.css';

interface Props {
  /** The path of the page of the item. */
  path: string;
  /** Shows the item of the next or the previous row. */
  onMove: (step: 1 | -1) => void;
  onClose: () => void;
}

/** The page of an item beside its list. */
export function SidePanel({ path, onMove, onClose }: Props) {
  const [params, setParams] = useSearchParams();
  const place = useMemo(() => placeInPanel(path), [path]);
  const item = useMemo(() => (place && matchPath(place.path, path)?.params) ?? {}, [place, path]);
  const context = useMemo(() => ({ params, setParams, item }), [params, setParams, item]);
  if (!place) return null;
  const { page: Page } = place;
  return (
    <section className={styles.panel} aria-label={t`Details beside the list`} tabIndex={-1} data-side-panel>
      <div className={styles.bar}>
        <RowButton label={t`Previous row (K)`} icon={IconChevronUp} onClick={() => onMove(-1)} />
        <RowButton label={t`Next row (J)`} icon={IconChevronDown} onClick={() => onMove(1)} />
        <span className="grows" />
        <RowButton label={t`Open the full page`} icon={IconArrowsMaximize} to={`${path}${panelSearch(params)}`} />
        <RowButton label={t`Close the panel (Escape)`} icon={IconX} onClick={onClose} />
      </div>
      <div className={styles.content}>
        <PanelContext value={context}>
          <PlaceContext value={place}>
            <ErrorBoundary key={path}>
              <Suspense fallback={<Skeleton h={320} radius="md" />}>
                <Page />
              </Suspense>
            </ErrorBoundary>
          </PlaceContext>
        </PanelContext>
      </div>
    </section>
  );
}
