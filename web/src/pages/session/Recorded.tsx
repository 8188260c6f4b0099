/** The announcement that the session is recorded. It stays over the desktop. */
export function Recorded() {
  return (
    <p className="recorded" role="status">
      <span aria-hidden />
      This session is recorded
    </p>
  );
}
