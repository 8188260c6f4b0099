"""The settings of the runtime `kubernetes`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from greenroom.kit.config import FromEnvironment


class KubernetesSettings(FromEnvironment):
    """The settings for the cluster, the namespace, and the defaults of sessions."""

    kube_config: Path | None = None
    """The kubeconfig; None = the service account of the Pod in which this process runs, or else $KUBECONFIG."""
    kube_context: str = ""
    """The context of the kubeconfig; empty = the current context."""
    kube_namespace: str = ""
    """The namespace of the sessions' Pods; empty = the namespace of the context, or of the Agent's Pod."""
    kube_storage_class: str = ""
    """The storage class of the claims for profiles; empty = the default class of the cluster."""
    kube_home_size: str = Field(default="10Gi", pattern=r"^[1-9][0-9]*(\.[0-9]+)?([KMGTPE]i?)?$")
    kube_filter_image: str = ""
    """The image with Squid and bash for web filters; empty = the image of the Agent's Pod."""
