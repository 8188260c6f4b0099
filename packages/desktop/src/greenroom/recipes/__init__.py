"""The catalogue's recipes and what makes images of them: `shelf` reads them, `build` makes one.

base/       what all images share: Debian packages, the session's programs and, built from images/page, its page
catalogue/  a folder for each recipe: recipe.toml, picture.svg, and where it needs them rootfs/ and install/
"""
