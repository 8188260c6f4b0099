import { useReducedMotion } from '@mantine/hooks';
import { useContext, useEffect, useLayoutEffect, useRef, useState } from 'react';
import { FADE_MS, type Opening, OpeningContext, playOpening } from './opening';
import styles from './Veil.module.css';

/** Covers the stage until the first complete frame. `words` is null when the frame is there: the veil then dissolves. */
export function Veil({ words }: { words: string | null }) {
  const opening = useContext(OpeningContext);
  const [last, setLast] = useState(words);
  useEffect(() => {
    if (words !== null) {
      setLast(words);
      return;
    }
    const timer = setTimeout(() => setLast(null), FADE_MS);
    return () => clearTimeout(timer);
  }, [words]);
  const isLeaving = words === null;
  if (isLeaving && last === null) return null;
  return (
    <div
      className={`${styles.veil} stage-backdrop`}
      data-testid="veil"
      data-leaving={isLeaving || undefined}
      aria-hidden={isLeaving}
    >
      {opening?.picture && <Picture opening={opening} picture={opening.picture} />}
      <p className={styles.words} role={isLeaving ? undefined : 'status'}>
        {words ?? last}…
      </p>
    </div>
  );
}

function Picture({ opening, picture }: { opening: Opening; picture: string | Blob }) {
  const image = useRef<HTMLImageElement>(null);
  const src = usePictureAddress(picture);
  const isReduced = useReducedMotion();
  useLayoutEffect(() => {
    if (image.current && src !== null) playOpening(image.current, opening, isReduced);
  }, [src, opening, isReduced]);
  if (src === null) return null;
  return <img ref={image} src={src} alt="" className={opening.isScreen ? styles.screen : styles.art} />;
}

/** The address of a picture. A picture of the screen gets an address while it is shown. */
function usePictureAddress(picture: string | Blob): string | null {
  const [address, setAddress] = useState(typeof picture === 'string' ? picture : null);
  useLayoutEffect(() => {
    if (typeof picture === 'string') return;
    const own = URL.createObjectURL(picture);
    setAddress(own);
    return () => URL.revokeObjectURL(own);
  }, [picture]);
  return address;
}
