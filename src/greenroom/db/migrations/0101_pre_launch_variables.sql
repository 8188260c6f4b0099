-- Whether users may set variables of the container when they launch a workspace. In workspaces of one application they
-- could start other programs with them.

ALTER TABLE images ADD COLUMN allow_launch_variables boolean NOT NULL DEFAULT true;
UPDATE images SET allow_launch_variables = false
 WHERE name ~ '^greenroom/(chromium|code|firefox|gimp|inkscape|jupyter|kiosk|libreoffice|link|remote|terminal|thunderbird)(:|$)';
