"""From configuration to operations: resources, the wanted tables, and the pure difference to the actual ones."""
