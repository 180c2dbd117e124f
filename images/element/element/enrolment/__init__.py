"""How a box comes to its operational credentials: RFC 8572 with a trusted server, RFC 9646, RFC 7030.

Imported only by a box that has none yet.
"""
