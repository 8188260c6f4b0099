/** The time zone and language of this browser. Sessions of users without a preference use them. */

import type { Schemas } from './types';

type Region = Pick<Schemas['SessionCreate'], 'browser_timezone' | 'browser_language'>;

const TIME_ZONE = /^[A-Za-z0-9_+/-]{1,64}$/;

export function browserRegion(): Region {
  return regionOf(Intl.DateTimeFormat().resolvedOptions().timeZone, navigator.language);
}

/** The part that the server accepts. A browser with an unusual value must still be able to launch. */
export function regionOf(timeZone: string | undefined, language: string | undefined): Region {
  const tag = baseOf(language);
  return {
    ...(timeZone && TIME_ZONE.test(timeZone) && { browser_timezone: timeZone }),
    ...(tag && { browser_language: tag }),
  };
}

/** Language, script and region of a tag, such as `de-DE`; null for an invalid tag. */
function baseOf(tag: string | undefined): string | null {
  try {
    return new Intl.Locale(tag ?? '').baseName;
  } catch {
    return null;
  }
}
