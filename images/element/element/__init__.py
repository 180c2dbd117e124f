"""The software in the boxes."""
