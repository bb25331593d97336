# The first process of a machine, in namespaces of its own: arranges what is seen of the file system, then waits.
#
# All of this computer is seen, and whatever is written is kept in memory beside it, gone with the last process.
#
# Arguments: an empty folder, the host name, the program to become, and folders that are shared as they are.
set -eu
base=$1 name=$2 init=$3
shift 3

mount -t tmpfs -o mode=755 machine "$base"
cd "$base"
mkdir changes work root
# Their content here is another machine's, and overlays cannot stand on this one.
own='etc/cni etc/containerd etc/kubernetes run system var/lib/cni var/lib/containerd var/lib/kubelet var/log'
mount -t overlay -o lowerdir=/,upperdir=changes,workdir=work machine root
mount --rbind /dev root/dev
mount --rbind /sys root/sys
mount -t proc proc root/proc
for folder in $own; do
	mkdir -p "own/$folder" "root/$folder"
	mount --bind "own/$folder" "root/$folder"
done
for folder in "$@"; do
	mkdir -p "root/$folder"
	mount --bind "$folder" "root/$folder"
done
# kubelet sets these, and they are no namespace's: it gets copies.
mkdir root/run/sysctl
for tunable in kernel/panic kernel/panic_on_oops kernel/keys/root_maxbytes kernel/keys/root_maxkeys \
	vm/overcommit_memory vm/panic_on_oom; do
	copy=root/run/sysctl/$(basename $tunable)
	cat "/proc/sys/$tunable" >"$copy"
	mount --bind "$copy" "root/proc/sys/$tunable"
done

cd root
mkdir -p run/old
pivot_root . run/old
umount -l /run/old
echo "$name" >/proc/sys/kernel/hostname
echo 1 >/proc/sys/net/ipv4/ip_forward
# Connections whose processes are gone must not keep the network: they would for minutes, if another machine went first.
echo 1 >/proc/sys/net/ipv4/tcp_orphan_retries
: >/run/ready
exec "$init"
