"""Overlays, kept true: intent, intended configuration and operational state."""
