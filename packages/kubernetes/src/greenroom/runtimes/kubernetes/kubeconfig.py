"""Reads the cluster and the namespace from a kubeconfig, or from the service account of the Pod of this process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final, cast

import httpx2
import msgspec
import yaml
from lightkube.config.kubeconfig import KubeConfig, SingleConfig
from lightkube.config.models import User
from lightkube.core.exceptions import ConfigError

from greenroom.core.errors import SetupError
from greenroom.core.text import schema_problem
from greenroom.runtimes.kubernetes.log_in import API_VERSIONS, is_token
from greenroom.runtimes.kubernetes.settings import KubernetesSettings

DEFAULT_FILE: Final = "~/.kube/config"


def load_config(settings: KubernetesSettings) -> SingleConfig:
    """Return the server, the user and the namespace that these settings select.

    Raises:
        SetupError: there is no kubeconfig, or it cannot be used. The message names the file.
    """
    file = settings.kube_config or _default_file()
    source = str(file) if file else "the service account of this Pod"
    try:
        contexts = KubeConfig.from_file(file) if file else KubeConfig.from_service_account()
        config = contexts.get(settings.kube_context or None)
    except ConfigError as error:
        raise SetupError(f"{source} cannot be used for Kubernetes: {error}.") from error
    except OSError as error:
        raise SetupError(f"{source} cannot be read: {error.strerror or error}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SetupError(f"{source} is not a kubeconfig: it is not YAML.") from error
    except msgspec.ValidationError as error:
        raise SetupError(f"{source} is not a kubeconfig: {schema_problem(str(error), 'the file')}.") from error
    except (AttributeError, TypeError) as error:
        raise SetupError(f"{source} is not a kubeconfig: {error}.") from error
    except KeyError as error:
        raise SetupError(f"{source} is not a kubeconfig: {error} is missing.") from error
    if config is None:
        raise SetupError(f"{source} names no current context; set GREENROOM_KUBE_CONTEXT.")
    user = config.user or User()
    if problem := _problem(config, user):
        raise SetupError(f"{source} {problem}.")
    token = user.token.strip() if user.token else None
    context = msgspec.structs.replace(config.context, namespace=settings.kube_namespace or config.namespace)
    return config._replace(context=context, user=msgspec.structs.replace(user, token=token))


def _default_file() -> Path | None:
    """Return the default kubeconfig; None = use the service account of this Pod."""
    files = [name for name in os.environ.get("KUBECONFIG", "").split(os.pathsep) if name]
    if len(files) > 1:
        raise SetupError(
            f"KUBECONFIG names {len(files)} files ({', '.join(files)}), of which only one can be used: name it in"
            " GREENROOM_KUBE_CONFIG, or make one of them with: kubectl config view --flatten"
        )
    if not files and os.environ.get("KUBERNETES_SERVICE_HOST"):
        return None
    return Path(files[0] if files else DEFAULT_FILE).expanduser()


def _problem(config: SingleConfig, user: User) -> str:
    """Return the reason why the kubeconfig cannot be used, without the name of the file; empty = none."""
    if not _is_address(config.cluster.server):
        return f"names the server {config.cluster.server!r}, which is not an address such as https://kubernetes.example.org:6443"
    if (user.client_cert or user.client_cert_data) and not (user.client_key or user.client_key_data):
        return "has a client certificate without its key"
    if user.token and not is_token(user.token.strip()):
        return "has a token with invalid characters"
    if user.exec is not None and user.exec.apiVersion not in API_VERSIONS:
        supported = ", ".join(sorted(API_VERSIONS))
        return f"names a log-in program of version {user.exec.apiVersion!r}; supported versions: {supported}"
    if cast("Any", user).auth_provider and not (user.token or user.token_file or user.exec or user.username):
        return "logs in with auth-provider, which Kubernetes no longer has; use a log-in program (exec) or a token"
    return ""


def _is_address(server: str) -> bool:
    try:
        url = httpx2.URL(server)
    except httpx2.InvalidURL:
        return False
    return url.scheme in {"http", "https"} and bool(url.host) and 0 < (url.port or 443) < 1 << 16
