"""Commands for people: one module a command."""
