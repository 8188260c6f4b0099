"""Log-ins at SAML 2.0 identity providers."""
