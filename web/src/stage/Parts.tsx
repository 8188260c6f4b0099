import { VisuallyHidden } from '@mantine/core';
import { IconCrown, IconCrownFilled } from '@tabler/icons-react';
import { memo, type ReactNode } from 'react';
import { Link } from 'react-router';
import { CROWN_PX, type Rect } from './layout';
import styles from './stage.module.css';

/** Every value is plain, so that an unchanged part does not render again. */
interface PartProps {
  /** The key of the object on the map. */
  name: string;
  /** The page of the object; null = the user may not open it. */
  to: string | null;
  /** The facts as sentences. */
  text: string;
  title: string;
  /** The state in one word, if it is not the usual one. */
  state: string;
  /** The state calls for attention. */
  hasProblem: boolean;
  /** Whether the key Tab reaches it: one object of the map. */
  isCurrent: boolean;
  x: number;
  y: number;
  width: number;
  height: number;
}

function rectOf({ x, y, width, height }: Rect) {
  return { left: x, top: y, width, height };
}

/**
 * The link of an object, which fills its rectangle. Without a page, the object can only have the focus. Its name has all
 * facts, so that its contents are not part of the accessibility tree.
 */
function Cover({ part, className, children }: { part: PartProps; className: string; children?: ReactNode }) {
  const common = {
    className: styles.cover,
    'data-key': part.name,
    'data-hint': part.text,
    tabIndex: part.isCurrent ? 0 : -1,
  };
  const contents = (
    <span className={`${styles.contents} ${className}`} aria-hidden>
      {children}
    </span>
  );
  return part.to ? (
    <Link to={part.to} {...common}>
      <VisuallyHidden>{part.text}</VisuallyHidden>
      {contents}
    </Link>
  ) : (
    <div role="img" aria-label={part.text} {...common}>
      {contents}
    </div>
  );
}

/** A Manager: the seat of the crown, its name and its state. `control` is its switch. */
export const ManagerPart = memo(function ManagerPart(props: PartProps & { control: ReactNode }) {
  return (
    <li className={styles.manager} data-problem={props.hasProblem || undefined} style={rectOf(props)}>
      <Cover part={props} className={styles.managerLink ?? ''}>
        <IconCrown size={CROWN_PX} stroke={1} className={styles.seat} />
        <CutInMiddle>{props.title}</CutInMiddle>
        <span className={styles.state}>{props.state}</span>
      </Cover>
      {props.control}
    </li>
  );
});

/** The letters at the end of a name that are not cut: the id of a Manager. */
const END = 9;

/** Names of Managers begin with their zone and differ at their end, so they are cut in their middle. */
function CutInMiddle({ children: name }: { children: string }) {
  return (
    <span className={styles.title} data-cut="middle">
      <span>{name.slice(0, -END)}</span>
      <span>{name.slice(-END)}</span>
    </span>
  );
}

interface AgentProps extends PartProps {
  /** The reserved parts, 0 to 1. */
  cores: number;
  memory: number;
  /** The numbers beside the bars; empty = there is no room. */
  coresText: string;
  memoryText: string;
}

/** An Agent with its load. The dots of its sessions are drawn on the canvas. */
export const AgentPart = memo(function AgentPart(props: AgentProps) {
  return (
    <li
      className={styles.agent}
      data-problem={props.hasProblem || undefined}
      data-closed={props.state !== '' || undefined}
      style={rectOf(props)}
    >
      <Cover part={props} className={styles.agentLink ?? ''}>
        <span className={styles.line}>
          <span className={styles.title}>{props.title}</span>
          <span className={styles.state}>{props.state}</span>
        </span>
        <Bar share={props.cores} text={props.coresText} />
        <Bar share={props.memory} text={props.memoryText} />
      </Cover>
    </li>
  );
});

function Bar({ share, text }: { share: number; text: string }) {
  return (
    <span className={styles.load}>
      <svg className={styles.bar} viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden>
        <rect className={styles.capacity} width="100" height="4" />
        <rect className={styles.reserved} data-full={share > 0.9 || undefined} width={100 * share} height="4" />
      </svg>
      {text && <span className={styles.number}>{text}</span>}
    </span>
  );
}

/** The sessions of a zone without a shown Agent. */
export const LoosePart = memo(function LoosePart(props: PartProps) {
  return (
    <li className={styles.agent} data-loose style={rectOf(props)}>
      <Cover part={props} className={styles.agentLink ?? ''}>
        <span className={styles.title}>{props.title}</span>
      </Cover>
    </li>
  );
});

/** A pool at the stage door: its fill level, its staged sessions on the canvas, and why it is short. */
export const PoolPart = memo(function PoolPart(props: PartProps & { fill: string; reason: string }) {
  return (
    <li className={styles.pool} data-problem={props.hasProblem || undefined} style={rectOf(props)}>
      <Cover part={props} className={styles.poolLink ?? ''}>
        <span className={styles.line}>
          <span className={styles.title}>{props.title}</span>
          <span className={styles.fill}>{props.fill}</span>
        </span>
        {props.reason && <span className={styles.reason}>{props.reason}</span>}
      </Cover>
    </li>
  );
});

interface CrownProps {
  x: number;
  y: number;
  zone: string;
  /** The zone has no Primary at present. */
  isLost: boolean;
}

/** The crown of a zone. It moves to the next Primary. */
export function Crown({ x, y, zone, isLost }: CrownProps) {
  return (
    <span
      className={styles.crown}
      data-zone={zone}
      data-lost={isLost || undefined}
      style={{ transform: `translate(${x}px, ${y}px)` }}
      aria-hidden
    >
      <IconCrownFilled size={CROWN_PX} />
    </span>
  );
}
