"""How the network is, as opposed to how it is wanted: sites, tunnels, probes."""
