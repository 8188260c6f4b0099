"""Configuration as code: a document in YAML, its plan against a deployment, and the import of users."""
