"""The web filters of this host: a network and a Squid for each policy in use."""
