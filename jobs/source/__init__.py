"""Goodbooks files and dated drops as they are found."""
