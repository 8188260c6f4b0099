import { createContext } from 'react';

/** Notifies the dialog around a side sheet that the sheet is open, so that Escape closes only the sheet. */
export const CoveredContext = createContext<(isCovered: boolean) => void>(() => undefined);
