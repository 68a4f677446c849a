"""The night: one module a step, in the order of `run`."""
