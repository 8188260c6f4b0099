"""Which cluster and namespace: from a kubeconfig, or from the service account of the Pod in which this process runs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml
from lightkube.config.kubeconfig import KubeConfig, SingleConfig
from lightkube.config.models import NameValue, User
from lightkube.core.exceptions import ConfigError

from greenroom.core.errors import SetupError
from greenroom.runtimes.settings import KubernetesSettings

DEFAULT_FILE: Final = "~/.kube/config"
PLUGIN_VERSION: Final = "client.authentication.k8s.io/v1"
PLUGIN_VERSION_READ: Final = "client.authentication.k8s.io/v1beta1"


def loaded(where: KubernetesSettings) -> SingleConfig:
    """The connection that these settings mean, with its namespace.

    Raises:
        SetupError: there is none, or the file cannot be used; the sentence names it.
    """
    file = where.config_file or _default_file()
    name = str(file) if file else "the service account of this Pod"
    try:
        config = KubeConfig.from_file(file) if file else KubeConfig.from_service_account()
        single = config.get(where.context or None)
    except ConfigError as error:
        raise SetupError(f"{name} cannot be used for Kubernetes: {error}.") from error
    except OSError as error:
        raise SetupError(f"{name} cannot be read: {error.strerror or error}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SetupError(f"{name} is no kubeconfig: it is not YAML.") from error
    except (AttributeError, TypeError, msgspec.ValidationError) as error:
        raise SetupError(f"{name} is no kubeconfig: it has not the form of one ({error}).") from error
    except KeyError as error:
        raise SetupError(f"{name} is no kubeconfig: it lacks {error}.") from error
    if single is None:
        raise SetupError(f"{name} names no current context; set GREENROOM_KUBE_CONTEXT.")
    namespace = where.namespace or single.namespace
    named = single._replace(context=msgspec.structs.replace(single.context, namespace=namespace))
    return named._replace(user=_with_plugin(named.user))


def _default_file() -> Path | None:
    """None = the service account, in a Pod."""
    if not os.environ.get("KUBECONFIG") and os.environ.get("KUBERNETES_SERVICE_HOST"):
        return None
    return Path(os.environ.get("KUBECONFIG") or DEFAULT_FILE).expanduser()


def _with_plugin(user: User | None) -> User:
    """A log-in program of version v1 gets a request of v1; its answer is read as v1beta1, which has the same fields."""
    if user is None or user.exec is None or user.exec.apiVersion != PLUGIN_VERSION:
        return user or User()
    info: dict[str, Any] = {"apiVersion": PLUGIN_VERSION, "kind": "ExecCredential", "spec": {"interactive": False}}
    said = NameValue(name="KUBERNETES_EXEC_INFO", value=json.dumps(info))
    plugin = msgspec.structs.replace(user.exec, apiVersion=PLUGIN_VERSION_READ, env=[*(user.exec.env or []), said])
    return msgspec.structs.replace(user, exec=plugin)
