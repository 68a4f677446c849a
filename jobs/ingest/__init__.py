"""Sources: fetching, landing and reading them."""
