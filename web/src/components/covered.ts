import { createContext } from 'react';

/** Tells the dialog around a side sheet whether the sheet is open: Escape then closes the sheet only. */
export const CoveredContext = createContext<(isCovered: boolean) => void>(() => undefined);
