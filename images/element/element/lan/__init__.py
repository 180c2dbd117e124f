"""What a gateway does for the stations of its LAN: DHCP, names and router advertisements, each by a program of Debian.

``model`` is what is configured, ``checks`` what of it cannot be, ``resolver`` where the DNS server lives, ``dnsmasq``
and ``radvd`` the programs' own words, ``servers`` keeps them running.
"""
