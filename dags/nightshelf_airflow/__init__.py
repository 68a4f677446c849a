"""What the DAGs share: starting commands, settings, deadlines, approvals, the order of days."""
