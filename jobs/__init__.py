"""The pipeline: one module a step, from Goodbooks files to an activated release."""
