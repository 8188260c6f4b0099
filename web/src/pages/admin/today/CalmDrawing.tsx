import classes from './Today.module.css';

/** A stage with a lamp and a closed list: nothing is open. */
export function CalmDrawing() {
  return (
    <svg className={classes.drawing} viewBox="0 0 160 90" aria-hidden focusable="false">
      <path className={classes.light} d="M80 14 46 74h68z" />
      <path className={classes.line} d="M70 14h20l4 8H66zM80 14V4M16 74h128M30 74v8M130 74v8" />
      <rect className={classes.card} x="62" y="44" width="36" height="26" rx="3" />
      <path className={classes.check} d="m71 57 6 6 12-12" />
    </svg>
  );
}
