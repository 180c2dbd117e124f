"""How fast the tunnels forward, how long a frame is on its way, and what a change costs those who send meanwhile."""
