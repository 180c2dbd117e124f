#!/bin/sh
# Makes a lab host's root file system in this process's own mount namespace and becomes its first process.
# Reads: KIND LOWER IMAGES HARNESS DISK_SIZE DISK, and for the lab kernel KERNEL CPU MEMORY ADDRESS HANDLES (its TAP's).
set -eu
lab=$2
# mount(8) hands options one by one to newer kernels, which take 256 bytes each: too little for a pile of layers.
export LIBMOUNT_FORCE_MOUNT2=always
root=$lab/root

# Entering the namespace that we are in leads to its true root, also from within a chroot.
at_true_root() {
    nsenter --mount=/proc/self/ns/mnt "$@"
}

# Nothing that is mounted here may show outside.
at_true_root mount --make-rprivate /
mkdir -p "$root"
mount -t tmpfs -o mode=0755 elasticlab "$root"
mkdir "$root/upper" "$root/work" "$root/merged"
mount -t overlay -o "lowerdir=$LOWER,upperdir=$root/upper,workdir=$root/work" elasticlab "$root/merged"
cd "$root/merged"
mkdir -p opt/elasticlab lab images disk proc sys dev run tmp
mount --bind "$lab" lab
mount --bind "$IMAGES" images
mount -o remount,bind,ro images
mount --bind "$HARNESS" opt/elasticlab
mount -o remount,bind,ro opt/elasticlab
mount -t proc proc proc
mount --rbind /dev dev

# Grown as it is used; made once, so that disks outlive the lab host. A lab kernel that starts with DISK keeps what differs
# from it, and never writes into it.
ubd=/lab/disk.img
if [ -n "$DISK" ] && [ "$KIND" = lab-kernel ]; then
    ubd=/lab/disk.cow,/$DISK
elif [ ! -s lab/disk.img ]; then
    truncate -s "$DISK_SIZE" lab/disk.img.new
    chroot . mkfs.ext4 -q -F -E lazy_itable_init=1,lazy_journal_init=1,nodiscard -m 0 /lab/disk.img.new
    mv lab/disk.img.new lab/disk.img
fi

# A true change of root, not a chroot: a container runtime that leaves a chroot would find this machine's own files.
leave() {
    mkdir old
    exec 9<.
    exec nsenter --mount=/proc/self/ns/mnt /bin/sh -euc '
        cd /proc/self/fd/9
        pivot_root . old
        exec chroot . /bin/sh -euc "exec 9<&-; umount -l /old; rmdir /old; exec \"\$@\"" leave "$@"' leave "$@"
}

case $KIND in
local)
    mount -t sysfs sysfs sys
    # The unified hierarchy, which has no controllers where this machine still uses the old ones: then no limits.
    mount -t cgroup2 cgroup2 sys/fs/cgroup
    mount -t tmpfs -o mode=0755 run run
    mount -t tmpfs -o mode=1777 tmp tmp
    mount -o loop lab/disk.img disk
    leave /bin/sh /opt/elasticlab/harness/host/init.sh local
    ;;
lab-kernel)
    touch linux
    mount --bind "$KERNEL" linux
    # The guest's memory is a file; TMPDIR decides that it is one in memory.
    export TMPDIR=/dev/shm HOME=/root
    # Where others want its processor too, it is given that in shorter slices, and in time: else a packet that is to be
    # delayed by 10 ms comes two late. Not more of it. (Linux from 6.12 on; those before take no notice.)
    short="/usr/bin/chrt --other --sched-runtime 100000 0"
    chroot . $short /bin/true 2>/dev/null || short=
    # A kernel without SMP loses half of its forwarding when it wanders between processors.
    leave /usr/bin/taskset -c "$CPU" $short /linux umid=elasticlab "mem=$MEMORY" seccomp=on \
        rootfstype=hostfs rootflags=/ rw init=/bin/sh con=null con0=null,fd:1 quiet "ubd0=$ubd" \
        "vec0:transport=fd,fd=$HANDLES,vec=0" "ELASTICLAB_ADDRESS=$ADDRESS" \
        -- /opt/elasticlab/harness/host/init.sh lab-kernel
    ;;
esac
