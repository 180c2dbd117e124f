"""Whether hours of orders leave anything behind: memory, descriptors, kernel objects, time (docs/how-to/measure.md)."""
