"""DHCP on uplinks (RFC 2131): udhcpc asks, what it was given is checked here, and becomes part of what is wanted."""
