import type { PermissionField } from '../../../api/types';

/** The default permissions of a config, as the form names them. */
export const PERMISSION_LABELS: Record<PermissionField, string> = {
  allow_kasm_audio: 'Allow Audio',
  allow_kasm_clipboard_down: 'Allow Clipboard Down',
  allow_kasm_clipboard_up: 'Allow Clipboard Up',
  allow_kasm_downloads: 'Allow Downloads',
  allow_kasm_uploads: 'Allow Uploads',
  allow_kasm_microphone: 'Allow Microphone',
  allow_kasm_gamepad: 'Allow Gamepad',
  allow_kasm_webcam: 'Allow Webcam',
};
