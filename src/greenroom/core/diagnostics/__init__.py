"""The page Today and the search of the console: their rules, without reading anything."""
