import { t } from '@lingui/core/macro';
import { useVirtualizer } from '@tanstack/react-virtual';
import {
  IconAlertTriangleFilled,
  IconAppWindow,
  IconCamera,
  IconClick,
  IconClipboard,
  IconClock,
  IconFile,
  IconFlag,
  IconHandStop,
  IconKeyboard,
  IconPointer,
  IconTerminal2,
  type TablerIcon,
} from '@tabler/icons-react';
import { useEffect, useRef } from 'react';
import type { RecordedRow } from '../../api/recordings';
import { milliseconds } from '../../components/format';
import { sinceOf } from './replay';

const ICONS: Record<string, TablerIcon> = {
  click: IconClick,
  type: IconKeyboard,
  key: IconKeyboard,
  screenshot: IconCamera,
  elements: IconCamera,
  exec: IconTerminal2,
  open: IconAppWindow,
  copy: IconClipboard,
  paste: IconClipboard,
  wait: IconClock,
  control: IconHandStop,
  granted: IconFlag,
  moved: IconFlag,
  ended: IconFlag,
  gap: IconAlertTriangleFilled,
};

const ROW_PX = 58;

interface Props {
  rows: RecordedRow[];
  begun: string;
  place: number;
  onChoose: (place: number) => void;
}

/** All actions, scrolled to the chosen one. In a long list, only the visible actions are in the document. */
export function ActionList({ rows, begun, place, onChoose }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const list = useVirtualizer({
    count: rows.length,
    getScrollElement: () => box.current,
    estimateSize: () => ROW_PX,
    overscan: 12,
  });
  useEffect(() => list.scrollToIndex(place, { align: 'auto' }), [list, place]);
  return (
    <div ref={box} className="replay-list surface">
      <ol aria-label={t`Actions`} style={{ height: list.getTotalSize() }}>
        {list.getVirtualItems().map(({ index, start }) => {
          const row = rows[index];
          return (
            row && (
              <li
                key={row.number}
                aria-setsize={rows.length}
                aria-posinset={index + 1}
                style={{ transform: `translateY(${start}px)`, height: ROW_PX }}
              >
                <Action row={row} begun={begun} chosen={index === place} onChoose={() => onChoose(index)} />
              </li>
            )
          );
        })}
      </ol>
    </div>
  );
}

interface ActionProps {
  row: RecordedRow;
  begun: string;
  chosen: boolean;
  onChoose: () => void;
}

function Action({ row, begun, chosen, onChoose }: ActionProps) {
  const Icon = row.what.startsWith('file-') ? IconFile : (ICONS[row.what] ?? IconPointer);
  return (
    <button
      type="button"
      className="replay-action"
      aria-current={chosen ? 'step' : undefined}
      data-failed={row.code ? true : undefined}
      onClick={onChoose}
    >
      <Icon size={18} aria-hidden />
      <span className="replay-said">
        <span>{row.said}</span>
        <small>
          <span className="number">
            {row.number} · {sinceOf(row, begun)}
            {row.duration_ms ? ` · ${milliseconds(row.duration_ms)}` : ''}
          </span>
          {row.code && <strong> · {row.code}</strong>}
        </small>
      </span>
    </button>
  );
}
