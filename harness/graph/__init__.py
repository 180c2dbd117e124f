"""Pictures of topologies: where things are drawn (`layout`), and as what (`svg`)."""
