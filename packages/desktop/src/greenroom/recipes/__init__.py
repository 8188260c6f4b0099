"""The recipes of the catalogue and the build of their images: `shelf` reads the recipes, `build` builds an image.

base/       the shared part of all images: Debian packages, the programs of a session, and its web page (images/page)
catalogue/  a folder for each recipe: recipe.toml, picture.svg, and, if the recipe needs them, rootfs/ and install/
"""
