"""What a runtime needs to know that others do not; the Agent passes it on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesSettings:
    """Without `config_file` a process in a Pod uses its service account, any other `$KUBECONFIG` or the default file;
    without `context` the file's current one; without `namespace` that of the context or the Pod. Profiles are claims of
    `home_size` and `storage_class`; empty = the cluster's default one."""

    config_file: Path | None = None
    context: str = ""
    namespace: str = ""
    storage_class: str = ""
    home_size: str = "10Gi"
    filter_image: str = ""
    """Empty = that of the Pod in which this process runs."""
