# For scenario scripts in the guest: . /run/e2e/lib.sh

fail()
{
	echo "FAIL: $*"
	exit 1
}

# nth_disk N: the N-th SCSI disk by address (0 is the first --disk); names like sda are not stable.
nth_disk()
{
	ls -d /sys/class/scsi_device/*/device/block/* | sort -t/ -k5,5V | sed -n "$(($1 + 1))s|.*/|/dev/|p"
}

# sg_of DISK: its generic device, for what talks SCSI.
sg_of()
{
	[ -d /sys/class/scsi_generic ] || modprobe sg
	ls -d "/sys/block/${1##*/}/device/scsi_generic/"* | sed 's|.*/|/dev/|'
}

# warnings: what the kernel warns of, but for commands that ended with sense data or found no disk:
# the disk's driver notes each of them.
warnings() { dmesg -r | grep -E '^<[0-4]>' | grep -v 'hv_storvsc.* tag#'; }

# complaints: what the kernel says against the disks or VMBus; fails if it says nothing.
complaints()
{
	warnings |
		grep -iE 'hv_|vmbus|storvsc|scsi|sd [0-9]|sr [0-9]|I/O error|EXT4-fs|blocked for|BUG|WARNING'
}

# disk_of SECTORS: the disk of that size, whatever drives it.
disk_of()
{
	for size in /sys/block/[sv]d*/size; do
		[ "$(cat "$size")" = "$1" ] && basename "${size%/size}" | sed "s|^|/dev/|" && return
	done
	return 1
}

# nic_of MAC: the network interface that has this address.
nic_of()
{
	ip link set lo up
	[ -d /sys/module/hv_netvsc ] || modprobe hv_netvsc
	tries=0
	while [ $tries -lt 100 ]; do
		for nic in /sys/class/net/*; do
			[ "$(cat "$nic/address")" = "$1" ] && basename "$nic" && return
		done
		tries=$((tries + 1))
		sleep 0.1
	done
	return 1
}

# addresses NIC N: what the guest of net.py has on NIC: 10.9.N.2 and fd00:9:N::2, the host .1 and ::1.
addresses()
{
	ip addr add "10.9.$2.2/24" dev "$1" && ip addr add "fd00:9:$2::2/64" dev "$1" nodad &&
		ip link set "$1" up
}

# net_complaints: what the kernel says against network adapters or itself; fails if it says nothing.
# It calls it suspect that an adapter puts segments together (RSC): docs/guest-notes.md.
net_complaints()
{
	warnings | grep -v 'Driver has suspect GRO implementation' | grep -iE 'hv_|vmbus|netvsc|eth[0-9]|NETDEV|checksum|BUG|WARNING|Call Trace'
}

# For guests that wait until the machine has done what a line on the console asked for:
# until_fails COMMAND..., until_works COMMAND...; what it says is in /tmp/said.
until_fails() { until_status fails "$@"; }
until_works() { until_status works "$@"; }
until_status()
{
	want=$1
	shift
	command="$*"
	tries=0
	while :; do
		have=fails
		"$@" > /tmp/said 2>&1 && have=works
		[ $have = $want ] && return
		tries=$((tries + 1))
		[ $tries -lt 100 ] || fail "never $want: $command: $(cat /tmp/said)"
		sleep 0.1
	done
}
