"""DHCP on uplinks (RFC 2131, RFC 9915): udhcpc asks, what it was given is checked here, and becomes part of what is
wanted."""
