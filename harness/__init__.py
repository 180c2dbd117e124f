"""Lab harness: brings topologies to life, watches, loads and breaks them."""
