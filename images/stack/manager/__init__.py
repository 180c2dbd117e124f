"""Whose device is this, and is it legal: registry, bootstrap, certificates, revocation, alarms."""
