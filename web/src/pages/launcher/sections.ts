/** The order of the workspaces on the launcher, and the words of a workspace. Pure functions. */

import { t } from '@lingui/core/macro';
import type { LauncherImage, Schemas, Session, Uuid } from '../../api/types';

export interface Section {
  title: string;
  images: LauncherImage[];
}

/** The number of workspaces from which the recent ones are shown separately. */
const MANY = 9;
const RECENT = 4;
const ROW = 5;

/**
 * The favorites, the recent ones and the others, each workspace once. Few favorites and recent ones share a row. While
 * the user searches, there is one section in the order of the hits.
 */
export function sectionsOf(images: LauncherImage[], favorites: Uuid[], isSearching: boolean): Section[] {
  if (isSearching) return filled([{ title: t`Found`, images }]);
  const chosen = favorites.flatMap((id) => images.find(({ image_id }) => image_id === id) ?? []);
  const others = images.filter((image) => !chosen.includes(image));
  const recent = images.length < MANY ? [] : recentOf(others);
  const rest = others.filter((image) => !recent.includes(image));
  const isWhole = chosen.length === 0 && recent.length === 0;
  const inOneRow = chosen.length > 0 && recent.length > 0 && chosen.length + recent.length <= ROW;
  return filled([
    ...(inOneRow
      ? [{ title: t`Favorites and recent`, images: [...chosen, ...recent] }]
      : [
          { title: t`Favorites`, images: chosen },
          { title: t`Recent`, images: recent },
        ]),
    { title: isWhole ? t`All` : t`Others`, images: rest },
  ]);
}

/** The workspaces that the user launched last, the latest first. */
function recentOf(images: LauncherImage[]): LauncherImage[] {
  return images
    .flatMap((image) => (image.last_launched ? [{ image, at: Date.parse(image.last_launched) }] : []))
    .sort((one, other) => other.at - one.at)
    .slice(0, RECENT)
    .map(({ image }) => image);
}

function filled(sections: Section[]): Section[] {
  return sections.filter(({ images }) => images.length > 0);
}

/** The sessions, newest first, except that the newest one that runs comes before all others. */
export function wideFirst<Item extends Pick<Session, 'status'>>(sessions: Item[]): Item[] {
  const wide = sessions.find(({ status }) => status === 'running');
  return wide ? [wide, ...sessions.filter((each) => each !== wide)] : sessions;
}

/** When a workspace would be usable, in a word, and the tone of the word. */
export function waitOf({ ready, expected_s }: Pick<LauncherImage, 'ready' | 'expected_s'>): {
  words: string;
  tone: 'ready' | 'warning' | 'neutral';
} {
  if (ready) return { words: t({ message: 'Now', context: 'availability' }), tone: 'ready' };
  if (expected_s === null) return { words: t({ message: 'Not now', context: 'availability' }), tone: 'warning' };
  const seconds = Math.max(1, Math.round(expected_s));
  const minutes = Math.round(seconds / 60);
  return { words: seconds < 100 ? t`about ${seconds} s` : t`about ${minutes} min`, tone: 'neutral' };
}

/** The favorites after a press on the star of a workspace. */
export function toggled(favorites: Uuid[], imageId: Uuid): Uuid[] {
  return favorites.includes(imageId) ? favorites.filter((id) => id !== imageId) : [...favorites, imageId];
}

/** Whether a workspace has launch options to choose. */
export function hasChoices(image: LauncherImage, options: Schemas['LaunchOptions'] | undefined): boolean {
  return !!options && (options.zones.length > 1 || options.images_with_profile.includes(image.image_id));
}
