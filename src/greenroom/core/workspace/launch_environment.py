"""The variables that a user may set in the container of a session at a launch.

A user may set variables for a task, such as `TASK_ID` and `API_BASE`. With a variable that a program of the image
reads, a user could make this program run other code, possibly as root. Only an administrator can set such a variable,
in the `run_config` of the workspace. Task variables can have any name; therefore `RESERVED` lists the names that
programs read. The Agent also refuses variables that the image sets, if they are known.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final

from greenroom.core.workspace.run_config import RESERVED_PREFIX, Variables, environment_problem

PREFERENCES: Final = frozenset({"LANG", "LANGUAGE", "LC_ALL", "TZ"})
"""Variables that users may set even if the image sets them."""

RESERVED: Final = {
    "Greenroom and its images": "GREENROOM_* KIOSK_* VNC_* NO_VNC_* MAX_FRAME_RATE",
    "the loader and the C library": (
        "_* LD_* DL_* GCONV_* GLIBC_* MALLOC_* LIBC_* LOCPATH NLSPATH TZDIR HOSTALIASES LOCALDOMAIN RES_OPTIONS"
        " RESOLV_* ASAN_* LSAN_* MSAN_* TSAN_* UBSAN_* GCC_* GCOV_* LLVM_* OMP_* GOMP_* KMP_*"
    ),
    "shells": (
        "BASH* ENV IFS PATH CDPATH FPATH FCEDIT GLOBIGNORE EXECIGNORE HISTFILE INPUTRC PROMPT_COMMAND PS0 PS1 PS2 PS4"
        " POSIXLY_CORRECT PWD OLDPWD SHELL SHELLOPTS SHLVL TERM TERMCAP TERMINFO* ZDOTDIR ZSH* KSH* CSH*"
    ),
    "accounts and temporary files": "HOME USER LOGNAME HOSTNAME TMP TMPDIR TEMP SUDO_* PAM_*",
    "programs that start others": (
        "BROWSER *_BROWSER EDITOR *_EDITOR VISUAL PAGER *_PAGER MANPAGER MANPATH MANOPT *_ASKPASS LESS* MORE GIT_*"
        " SSH_* GNUPG* GPG_* RSYNC_* CVS_* SVN_* HG* DOCKER_* CONTAINER_HOST KUBECONFIG KUBERNETES_* SYSTEMD_* VIM*"
        " NVIM_* EXINIT MYVIMRC EMACS* TMUX* SCREENRC SCREENDIR TAR_OPTIONS MAKEFLAGS MAKEFILES MFLAGS DPKG_* APT_*"
        " DEBCONF_* GDB* DEBUGINFOD_* FZF_* GREP_* CURL_* WGETRC"
    ),
    "interpreters and package managers": (
        "PYTHON* IPYTHON* JUPYTER* JPY_* PIP_* PIPX_* PIPENV_* POETRY_* UV_* CONDA_* MAMBA_* VIRTUAL_ENV* PYENV_*"
        " PYTEST_* NODE_* NPM_* NVM_* YARN_* PNPM_* BUN_* DENO_* ELECTRON_* TS_NODE_* PERL* RUBY* GEM_* BUNDLE_*"
        " BUNDLER_* IRBRC JAVA_* JDK_* JRE_* JVM_* CLASSPATH MAVEN_* GRADLE_* ANT_* PHP_* PHPRC LUA_* TCL* TK_LIBRARY"
        " GUILE_* JULIA_* R_HOME R_LIBS* R_PROFILE* R_ENVIRON* GOPATH GOROOT GOFLAGS GOPROXY GOENV GODEBUG CARGO_*"
        " RUST_* RUSTC* RUSTUP_* DOTNET_* CORECLR_* COMPLUS_* MONO_* CMAKE_* CC CXX CPATH CFLAGS CXXFLAGS LDFLAGS"
        " PKG_CONFIG*"
    ),
    "the X server, toolkits, drivers and sound": (
        "DISPLAY WAYLAND_* XDG_* XAUTHORITY XENVIRONMENT XAPPLRESDIR XFILESEARCHPATH XUSERFILESEARCHPATH XLOCALEDIR"
        " XMODIFIERS XCOMPOSE* XCURSOR_* XKB_* XERRORDB XKEYSYMDB XINITRC XTERM_* XFCE* XFCONF_* ICEAUTHORITY"
        " DESKTOP_SESSION DESKTOP_STARTUP_ID DESKTOP_AUTOSTART_ID SESSION_MANAGER DBUS_* GTK* GDK_* GIO_* GI_*"
        " GSETTINGS_* GNOME_* GVFS_* GLIB_* G_* GJS_* DCONF_* PANGO_* ATK_* AT_SPI_* NO_AT_BRIDGE CLUTTER_* COGL_*"
        " QT_* QTDIR QML* QTWEBENGINE* KDE* PLASMA_* SDL_* IBUS_* FCITX_* FONTCONFIG_* FREETYPE_* MESA_* LIBGL_*"
        " LIBVA_* EGL_* GBM_* VDPAU_* VK_* VULKAN_* DRI_* OCL_* OPENCL_* CUDA_* NVIDIA_* GALLIUM_* RADV_* ALSA_*"
        " CUPS_* PULSE_* PIPEWIRE_* JACK_* LADSPA_* DSSI_* LV2_* VST_* AUDIODRIVER GST_* GEGL_* BABL_*"
    ),
    "applications of the catalogue": (
        "CHROME_* CHROMIUM_* GOOGLE_CHROME_* MOZ_* FIREFOX_* THUNDERBIRD_* NSS_* NSPR_* WEBKIT_* VSCODE_*"
        " CODE_SERVER_* GIMP* INKSCAPE_* LIBREOFFICE_* OOO_* SAL_* UNO_* URE_* MAGICK_* REMMINA_* FREERDP_*"
    ),
    "connections and certificates": (
        "*_PROXY SSL* OPENSSL_* GNUTLS_* KRB5* P11_KIT_* *_CA_BUNDLE *_CA_CERTS *_CA_FILE *_CA_PATH *_CERT_FILE"
        " *_CERT_DIR"
    ),
    "code that any program may load": (
        "*_PRELOAD *_LIBRARY_PATH *_MODULE_PATH *_INCLUDE_PATH *_PLUGIN_PATH *_PLUGIN_DIR *_DRIVER_PATH"
        " *_DRIVERS_PATH *_SEARCH_PATH *_OPTS *_JAVA_OPTIONS *_RC"
    ),
}
"""Program → the names that launches may not set. `*` stands for any characters; case is ignored."""

_RESERVED_PATTERN: Final = re.compile(
    "|".join(name.replace("*", ".*") for names in RESERVED.values() for name in names.split()), re.IGNORECASE
)


def launch_problem(environment: Variables) -> str | None:
    """Return the reason why a launch may not set these variables, as a sentence; None if it may."""
    if problem := environment_problem(environment):
        return problem
    for name in environment:
        if _RESERVED_PATTERN.fullmatch(name):
            return (
                f"{name} affects the code, files or servers of programs in the image; an administrator can set it "
                "in the run_config of the workspace."
            )
    return None


def user_variables_problem(
    environment: Mapping[str, str], *, of_workspace: Collection[str], of_image: Collection[str] = ()
) -> str | None:
    """Return the reason why no container may be created with the user's variables, as a sentence; None if one may be.
    `environment` is from the specification. `of_workspace` are the names of the workspace's variables, which replace
    those of the user; `of_image` are the names of the variables that the image sets.
    """
    user_values = {name: environment[name] for name in user_variables(environment) if name not in of_workspace}
    if problem := launch_problem(user_values):
        return problem
    image_names = sorted((user_values.keys() - PREFERENCES) & set(of_image))
    return f"{image_names[0]} is set by the image, and a launch may not change it." if image_names else None


def user_variables(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of the variables in a session's specification that its user set, in the request or in the
    preferences. All variables that Greenroom sets begin with `RESERVED_PREFIX`, which no user may set.
    """
    return tuple(sorted(name for name in environment if not name.startswith(RESERVED_PREFIX)))
