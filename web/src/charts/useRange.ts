import { useSearchParams } from 'react-router';
import { limited, type Range, rangeIn, withRange } from './range';

/** The range in the address, and a function that changes it. The browser's Back returns to the range before. */
export function useRange(): { range: Range; show: (range: Range) => void } {
  const [params, setParams] = useSearchParams();
  return {
    range: rangeIn(params),
    show: (range) => {
      const shown = 'preset' in range ? range : limited(range, Date.now() / 1000);
      setParams((current) => withRange(current, shown));
    },
  };
}
