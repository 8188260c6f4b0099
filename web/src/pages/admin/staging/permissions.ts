import type { PermissionField } from '../../../api/types';

/** What a session may, in words. */
export const PERMISSION_LABELS: Record<PermissionField, string> = {
  allow_kasm_audio: 'Audio',
  allow_kasm_clipboard_down: 'Clipboard Down',
  allow_kasm_clipboard_up: 'Clipboard Up',
  allow_kasm_downloads: 'Downloads',
  allow_kasm_uploads: 'Uploads',
  allow_kasm_microphone: 'Microphone',
  allow_kasm_gamepad: 'Gamepad',
  allow_kasm_webcam: 'Webcam',
};
