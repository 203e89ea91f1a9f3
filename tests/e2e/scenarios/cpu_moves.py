"""The disk's channels move between CPUs under load; a CPU goes off line and comes back.

Linux asks with MODIFYCHANNEL and waits for the answer. A CPU that a channel interrupts cannot go.
"""

SCRIPT = r"""
. /run/e2e/lib.sh
cd /sys/bus/vmbus/devices
channels=$(echo $(grep -l ba6163d9 */class_id | sed 's|class_id|channels/*/cpu|'))
[ $(echo $channels | wc -w) = $(nproc) ] || fail "not a channel for each CPU: $channels"

move()
{
	for channel in $channels; do
		echo "$1" > "$channel" || fail "cannot move $channel to CPU $1"
		[ "$(cat "$channel")" = "$1" ] || fail "$channel is not on CPU $1"
	done
}

cat $channels | sort -u | wc -l | grep -qx $(nproc) || fail "not spread over the CPUs"

dd if=/dev/urandom of=/data bs=1M count=20 status=none || fail "cannot write"
sum=$(sha256sum < /data)
(while [ ! -e /tmp/stop ]; do dd if=/data of=/copy bs=64k conv=fsync status=none; done) &
moves=0
while [ $moves -lt 40 ]; do
	move $((moves % 2))
	moves=$((moves + 1))
	sleep 0.05
done
touch /tmp/stop
wait
echo 3 > /proc/sys/vm/drop_caches
[ "$(sha256sum < /copy)" = "$sum" ] || fail "the copy is not what was copied"

online=/sys/devices/system/cpu/cpu1/online
move 1
echo 0 2>/dev/null > $online && fail "a CPU with a channel went off line"
move 0
echo 0 > $online || fail "CPU 1 cannot go off line"
dd if=/data of=/copy bs=64k conv=fsync status=none || fail "no I/O with one CPU"
echo 1 > $online || fail "CPU 1 does not come back"
move 1
dd if=/data of=/copy bs=64k conv=fsync status=none || fail "no I/O after CPU 1 came back"
echo 3 > /proc/sys/vm/drop_caches
[ "$(sha256sum < /copy)" = "$sum" ] || fail "the copy is not what was copied"
dmesg --level=emerg,alert,crit,err,warn | grep -iE 'hv_|vmbus|storvsc|sd [0-9]|I/O error' && fail "see above"
echo "$moves moves"
exit 0
"""


def run(lab):
    output = lab.boot(SCRIPT)
    lab.check("40 moves" in output, f"unexpected output: {output}")
