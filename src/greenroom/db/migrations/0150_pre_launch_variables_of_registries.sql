-- Images of the catalogue that a registry holds under a prefix are applications as well.

UPDATE images SET allow_launch_variables = false
 WHERE name ~ '/greenroom/(chromium|code|firefox|gimp|inkscape|jupyter|kiosk|libreoffice|link|remote|terminal|thunderbird)([:@]|$)';
