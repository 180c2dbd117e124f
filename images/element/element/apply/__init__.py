"""Kernel and charon: reading them into resources, and carrying operations out."""
