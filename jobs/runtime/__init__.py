"""What every step stands on: settings, errors, files, progress, records."""
