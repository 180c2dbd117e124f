#!/bin/sh
# The first process on a lab host: what a kernel needs before the agent can work, then reaping orphans.
set -eu
kind=$1
export PATH=/usr/sbin:/usr/bin:/sbin:/bin

if [ "$kind" = lab-kernel ]; then
    mount -t proc proc /proc
    mount -t sysfs sysfs /sys
    mountpoint -q /dev || mount -t devtmpfs dev /dev
    mkdir -p /dev/pts /dev/shm
    mount -t devpts -o newinstance,ptmxmode=0666 devpts /dev/pts
    mount -t tmpfs -o mode=1777 shm /dev/shm
    mount -t tmpfs -o mode=0755 run /run
    mount -t tmpfs -o mode=1777 tmp /tmp
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    mount -t ext4 -o noatime /dev/ubda /disk
    # Otherwise gre0, erspan0, sit0… appear in every namespace.
    echo 2 >/proc/sys/net/core/fb_tunnels_only_for_init_net
fi
ip link set lo up
# The ends of cables and their bridge say nothing of their own on the wires of a test. Nodes are not concerned: a new
# namespace starts with IPv6 on.
if [ -w /proc/sys/net/ipv6/conf/default/disable_ipv6 ]; then
    echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
fi
mkdir -p /run/netns /run/elasticlab/nodes /run/service
# No fault is in effect yet; the last lab host may have died of one that made its disk full.
rm -f /disk/.full-*
# Every node under a cgroup of its own, with all controllers where the unified hierarchy is there.
if [ -f /sys/fs/cgroup/cgroup.controllers ] && [ "$kind" = lab-kernel ]; then
    sed 's/[^ ]*/+&/g' /sys/fs/cgroup/cgroup.controllers >/sys/fs/cgroup/cgroup.subtree_control
fi

if [ "$kind" = lab-kernel ]; then
    # The management bridge reaches the user's machine through the TAP.
    ip link add mgmt type bridge
    ip link set vec0 master mgmt up
    ip addr add "$ELASTICLAB_ADDRESS" dev mgmt
    ip link set mgmt up
    mkdir -p /run/sshd /run/service/sshd
    printf '#!/bin/sh\nexec /usr/sbin/sshd -D -e -f /lab/ssh/sshd_config 2>/lab/ssh/sshd.log\n' >/run/service/sshd/run
    chmod 755 /run/service/sshd/run
fi
# Only the lab host of an engine that needs it has one.
if [ -d /etc/sv/dockerd ]; then
    cp -r /etc/sv/dockerd /run/service/dockerd
fi
: >/lab/host.ready
exec runsvdir -P /run/service
