"""Named secrets that web filters add to requests. The sessions do not receive them."""
