// The German texts of the page, by the English ones (texts.js).
export const GERMAN = {
  // The page
  'Session': 'Sitzung',
  'Second screen': 'Zweiter Bildschirm',
  'Second screen of the session': 'Zweiter Bildschirm der Sitzung',
  'Keyboard of the session': 'Tastatur der Sitzung',
  'Keys': 'Tasten',
  'Tab': 'Tab',
  'Ctrl': 'Strg',
  'Alt': 'Alt',
  'Left': 'Links',
  'Up': 'Hoch',
  'Down': 'Runter',
  'Right': 'Rechts',
  'Keyboard': 'Tastatur',
  'Close the keys': 'Tasten schließen',
  'View only': 'Nur zusehen',
  'Close': 'Schließen',

  // The stream
  'Connecting…': 'Verbindung wird hergestellt…',
  'Connected': 'Verbunden',
  'Connection lost. Reconnecting…': 'Verbindung unterbrochen. Sie wird wiederhergestellt…',
  'You no longer have access to this session.': 'Sie haben keinen Zugriff mehr auf diese Sitzung.',
  'You were disconnected because there was no input for some time. Click or press a key to continue.':
    'Die Verbindung wurde getrennt, weil es einige Zeit keine Eingabe gab. Klicken Sie oder drücken Sie eine Taste, um fortzufahren.',
  'This workspace has no smooth picture.': 'Dieser Workspace hat kein flüssiges Bild.',
  'This browser cannot show the smooth picture.': 'Dieser Browser kann das flüssige Bild nicht anzeigen.',
  'The smooth picture has ended. The sharp picture is shown.':
    'Das flüssige Bild wurde beendet. Sie sehen das scharfe Bild.',

  // Files
  'Files': 'Dateien',
  'Close the files': 'Dateien schließen',
  'Upload': 'Hochladen',
  'Drop files and folders anywhere on the screen.': 'Ziehen Sie Dateien und Ordner auf den Bildschirm.',
  'Up to {size} a file.': 'Bis zu {size} je Datei.',
  'Choose files': 'Dateien wählen',
  'Choose a folder': 'Ordner wählen',
  'Files to upload': 'Hochzuladende Dateien',
  'Folder to upload': 'Hochzuladender Ordner',
  'Uploads under way': 'Laufende Uploads',
  'Remove finished uploads': 'Fertige Uploads entfernen',
  'Your group allows no uploads into this session (allow_kasm_uploads).':
    'Ihre Gruppe erlaubt keine Uploads in diese Sitzung (allow_kasm_uploads).',
  'Your group allows no downloads from this session (allow_kasm_downloads).':
    'Ihre Gruppe erlaubt keine Downloads aus dieser Sitzung (allow_kasm_downloads).',
  'In the session': 'In der Sitzung',
  'Folder': 'Ordner',
  'Files in the folder': 'Dateien im Ordner',
  'Download all as a zip file': 'Alles als Zip-Datei herunterladen',
  'Download {name} as a zip file': '{name} als Zip-Datei herunterladen',
  'Folder {name}': 'Ordner {name}',
  'The folder {name} is empty.': 'Der Ordner {name} ist leer.',
  '1 more is not shown.': '1 weiterer Eintrag wird nicht angezeigt.',
  '{count} more are not shown.': '{count} weitere Einträge werden nicht angezeigt.',
  '{size} bytes': '{size} Byte',

  // Uploads
  '1 hidden file or folder is left out.': '1 verborgene Datei oder 1 verborgener Ordner wird ausgelassen.',
  '{count} hidden files and folders are left out.': '{count} verborgene Dateien und Ordner werden ausgelassen.',
  '{size} is too large: up to {limit} may be uploaded (max_upload_mb of your group).':
    '{size} ist zu groß: Bis zu {limit} sind erlaubt (max_upload_mb Ihrer Gruppe).',
  '{name} is in {folder}.': '{name} ist in {folder}.',
  '{name} is in {folder} as {stored}.': '{name} ist als {stored} in {folder}.',
  '{count} files are in {folders}.': '{count} Dateien sind in {folders}.',
  '{count} failed.': '{count} sind fehlgeschlagen.',
  '{count} files could not be uploaded.': '{count} Dateien konnten nicht hochgeladen werden.',
  'Upload of {name}': 'Upload von {name}',
  'Try again': 'Erneut versuchen',
  'Remove from the list: {name}': 'Aus der Liste entfernen: {name}',
  'Cancel {name}': '{name} abbrechen',
  '{size}, waiting': '{size}, wartet',
  '{size}, in {folder}': '{size}, in {folder}',
  '{sent} of {size}': '{sent} von {size}',
  '{progress}. The connection was lost. The upload continues automatically.':
    '{progress}. Die Verbindung wurde unterbrochen. Der Upload wird automatisch fortgesetzt.',
  '{time} left': 'noch {time}',
  'Drop to upload into Uploads': 'Loslassen, um nach Uploads hochzuladen',
  'Your group allows no uploads into this session': 'Ihre Gruppe erlaubt keine Uploads in diese Sitzung',
  'The dropped files cannot be read on this computer.':
    'Die abgelegten Dateien können auf diesem Computer nicht gelesen werden.',
  '{name} cannot be read on this computer.': '{name} kann auf diesem Computer nicht gelesen werden.',
  '{name} was changed or deleted on this computer.': '{name} wurde auf diesem Computer geändert oder gelöscht.',
  '{name} was refused ({status}).': '{name} wurde abgelehnt ({status}).',
  'The session does not answer. Try again to continue the upload.':
    'Die Sitzung antwortet nicht. Versuchen Sie es erneut, um den Upload fortzusetzen.',
  'Uploads into this session are not allowed.': 'Uploads in diese Sitzung sind nicht erlaubt.',
  'The name of the file is not valid.': 'Der Name der Datei ist ungültig.',

  // The clipboard and printing
  'A picture was copied in the session.': 'In der Sitzung wurde ein Bild kopiert.',
  'Copy': 'Kopieren',
  'Save': 'Speichern',
  'Open': 'Öffnen',
  'Text was copied in the session.': 'In der Sitzung wurde Text kopiert.',
  'The browser does not let this page copy.': 'Der Browser erlaubt dieser Seite nicht, zu kopieren.',
  'The picture did not reach the session. Paste it again.':
    'Das Bild hat die Sitzung nicht erreicht. Fügen Sie es noch einmal ein.',
  'The picture did not reach this computer. Copy it again.':
    'Das Bild hat diesen Computer nicht erreicht. Kopieren Sie es noch einmal.',
  '{name} was printed.': '{name} wurde gedruckt.',
  '{name} was printed into the folder Downloads of the session. Your group allows no downloads.':
    '{name} wurde in den Ordner Downloads der Sitzung gedruckt. Ihre Gruppe erlaubt keine Downloads.',

  // Sound and microphone
  'This browser cannot play the sound of a session.': 'Dieser Browser kann den Ton einer Sitzung nicht wiedergeben.',
  'This browser cannot send a microphone to a session.': 'Dieser Browser kann kein Mikrofon an eine Sitzung senden.',
  'The browser does not let this page use the microphone.': 'Der Browser erlaubt dieser Seite das Mikrofon nicht.',
  'This computer has no microphone.': 'Dieser Computer hat kein Mikrofon.',
  'Another program uses the microphone.': 'Ein anderes Programm verwendet das Mikrofon.',
  'The microphone was unplugged.': 'Das Mikrofon wurde getrennt.',
  'The microphone cannot be used: {reason}': 'Das Mikrofon kann nicht verwendet werden: {reason}',
  'Sound is not allowed for your group.': 'Ton ist für Ihre Gruppe nicht erlaubt.',
  'The microphone is not allowed for your group.': 'Das Mikrofon ist für Ihre Gruppe nicht erlaubt.',
  'You can only view this session; the microphone is not available to you.':
    'Sie können bei dieser Sitzung nur zusehen; das Mikrofon steht Ihnen nicht zur Verfügung.',
};
