import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { IconAdjustments, IconHelp, IconStar, IconStarFilled, type TablerIcon } from '@tabler/icons-react';
import { useRef, useState } from 'react';
import type { LauncherImage } from '../../api/types';
import { Artwork } from '../../components/Artwork';
import { WhyOpened } from '../../why/WhyButton';
import { waitOf } from './sections';
import styles from './WorkspaceTile.module.css';

interface Props {
  image: LauncherImage;
  /** Whether the key Enter in the search launches it. */
  isFirst: boolean;
  isFavorite: boolean;
  busy: boolean;
  disabled: boolean;
  /** Called with the picture of the tile, from which the session opens. */
  onLaunch: (picture: Element | null) => void;
  onFavorite: () => void;
  /** Opens the launch options; undefined if there are none. */
  onChoose: (() => void) | undefined;
}

/** One workspace; pressing it starts a session. */
export function WorkspaceTile(props: Props) {
  const { image, isFirst, isFavorite, busy, disabled, onLaunch, onFavorite, onChoose } = props;
  const picture = useRef<HTMLSpanElement>(null);
  const [isExplained, setExplained] = useState(false);
  const name = image.friendly_name;
  const { words, tone } = waitOf(image);
  return (
    <div className={styles.tile} data-first={isFirst || undefined}>
      <button
        type="button"
        className={styles.press}
        data-testid={`launch-${name}`}
        data-image={image.image_id}
        data-not-now={tone === 'warning' || undefined}
        aria-busy={busy}
        disabled={disabled}
        onClick={() => onLaunch(picture.current)}
      >
        <span ref={picture} className={busy ? `${styles.picture} ${styles.busy}` : styles.picture}>
          <Artwork name={name} src={image.image_src} />
        </span>
        <span className={styles.text}>
          <span className={styles.name}>
            <Trans>
              <span className={styles.hidden}>Launch </span>
              {name}
            </Trans>
          </span>
          <span className={styles.wait} data-tone={tone}>
            {words}
          </span>
          <span className={styles.note}>
            {image.reason || image.description || image.categories.join(', ') || t`Desktop in your browser`}
          </span>
        </span>
      </button>
      <div className={styles.corner}>
        {tone !== 'ready' && (
          <Small label={t`Why? ${name}: ${words}`} icon={IconHelp} onClick={() => setExplained(true)} />
        )}
        <Small
          label={t`Favorite: ${name}`}
          icon={isFavorite ? IconStarFilled : IconStar}
          pressed={isFavorite}
          onClick={onFavorite}
        />
        {onChoose && (
          <Small
            label={t`Launch ${name} with options`}
            icon={IconAdjustments}
            isAlways
            disabled={disabled}
            onClick={onChoose}
          />
        )}
      </div>
      {isExplained && <WhyOpened subject={{ kind: 'image', id: image.image_id }} onClose={() => setExplained(false)} />}
    </div>
  );
}

interface SmallProps {
  label: string;
  icon: TablerIcon;
  pressed?: boolean;
  /** Whether it is also visible without the pointer over the tile. */
  isAlways?: boolean;
  disabled?: boolean;
  onClick: () => void;
}

function Small({ label, icon: Icon, pressed, isAlways = false, disabled = false, onClick }: SmallProps) {
  return (
    <button
      type="button"
      className={styles.small}
      aria-label={label}
      aria-pressed={pressed}
      data-always={isAlways || undefined}
      data-hint={label}
      disabled={disabled}
      onClick={onClick}
    >
      <Icon size={18} aria-hidden />
    </button>
  );
}

/** The place of a tile while the workspaces are loaded, with the same height. */
export function TileSkeleton() {
  return <div className={styles.skeleton} aria-hidden />;
}
