"""Sign-on at OpenID Connect providers."""
