import { useNavigate } from 'react-router';
import { useAllowed } from '../../../api/auth';
import { type Range, withRange } from '../../../charts/range';
import { SeriesCharts } from './SeriesCharts';
import { LAUNCHES, WAITS } from './specs';

const CHARTS = [LAUNCHES, WAITS];
const DAY: Range = { preset: '24h' };

/** Launches and waits of the last 24 hours. A part of the day opens on the page Trends. */
export function LaunchesToday() {
  const allowed = useAllowed();
  const navigate = useNavigate();
  if (!allowed('sessions_view')) return null;
  const open = (range: Range) =>
    void navigate({ pathname: '/admin/trends', search: withRange(new URLSearchParams(), range).toString() });
  return <SeriesCharts charts={CHARTS} range={DAY} onRange={open} />;
}
