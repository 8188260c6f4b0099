/**
 * The nonce of the page's policy for style sheets, which the gateway writes into index.html. With it, Mantine may add
 * `<style>` elements; the policy refuses all others.
 */

declare global {
  /** The nonce for the style sheet that stops the page behind a dialog from scrolling (react-style-singleton). */
  var __webpack_nonce__: string | undefined;
}

export const STYLE_NONCE = document.querySelector<HTMLMetaElement>('meta[property="csp-nonce"]')?.nonce ?? '';
globalThis.__webpack_nonce__ = STYLE_NONCE;
