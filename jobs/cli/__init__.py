"""The `nightshelf` command."""
