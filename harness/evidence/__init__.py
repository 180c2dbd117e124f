"""What a report shows so that a stranger finds the cause: captures, logs, configuration, state."""
