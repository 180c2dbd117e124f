"""rtnetlink(7): any number of requests in one datagram, and dumps that are looked into where somebody asks.

::

    ask([Request(RTM_NEWLINK, CREATE | EXCL, head + attribute(IFLA_IFNAME, "a"), "link a")])    # Refused: to which
    for message in dump(RTM_GETADDR, head):
        told = attributes(message, size_of_the_head)                                           # contents by type

A library that decodes whatever it is told, and sends request after request through an event loop of its own, takes
1.6 ms for each in a lab kernel, and a third of what a box's agent imports. What a request or an answer means is said by
those who ask: here are the forms alone (linux/netlink.h, linux/rtnetlink.h).
"""
