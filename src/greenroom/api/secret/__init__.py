"""Named secrets that web filters add to requests, so that no session has them."""
