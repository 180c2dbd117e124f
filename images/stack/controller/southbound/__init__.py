"""The controller's side towards devices: sessions, the network-wide commit, and what keeps devices as intended."""
