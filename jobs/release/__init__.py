"""A release on disk: its folder, its id, its manifest, its history."""
