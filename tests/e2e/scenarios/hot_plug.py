"""A disk comes and goes again and again while it is in use; another disk's I/O never notices."""

ROUNDS = 3
ROUNDS_LONG = 20
SECTORS = 65536  # of the disk that comes and goes
STAYS = 49152  # of the one that stays

SCRIPT = r"""
. /run/e2e/lib.sh
cd /tmp
stays=$(disk_of STAYS) || fail "no disk"
dd if=/dev/urandom of=data bs=1M count=8 status=none
(
	while [ ! -e stop ]; do
		dd if=data of=$stays bs=64k oflag=direct conv=notrunc status=none || break
		dd if=$stays bs=64k count=128 iflag=direct status=none | cmp - data || break
		echo $((count += 1)) > passes
	done
	[ -e stop ] || touch broken
) &

round=0
while [ $round -lt ROUNDS ]; do
	round=$((round + 1))
	echo "add $round"
	tries=0
	until disk=$(disk_of SECTORS) && [ -b "$disk" ]; do
		tries=$((tries + 1))
		[ $tries -lt 300 ] || fail "round $round: the disk does not come"
		sleep 0.1
	done
	dd if=data of=$disk bs=64k oflag=direct status=none || fail "round $round: cannot write"
	dd if=$disk bs=64k count=128 iflag=direct status=none | cmp - data ||
		fail "round $round: not what was written"
	(while dd if=data of=$disk bs=64k oflag=direct conv=nocreat,notrunc; do :; done) 2>writer &
	writer=$!
	(while dd if=$disk of=/dev/null bs=4k count=2048 iflag=direct; do :; done) 2>reader &
	reader=$!
	sleep 0.3
	echo "remove $round"
	tries=0
	while [ -e /sys/block/${disk##*/} ]; do
		tries=$((tries + 1))
		[ $tries -lt 300 ] || fail "round $round: the disk does not go"
		sleep 0.1
	done
	wait $writer $reader
	[ ! -e broken ] || fail "round $round: I/O on the other disk failed"
done
passes=$(cat passes)
while [ "$(cat passes)" = "$passes" ] && [ ! -e broken ]; do sleep 0.1; done
touch stop
wait
[ ! -e broken ] || fail "I/O on the other disk failed"
warnings | grep -iE 'hv_|vmbus|blocked for|BUG|WARNING|Call Trace' &&
	fail "see above"
echo "$(cat passes) passes over the disk that stays"
exit 0
"""


def run(lab):
    rounds = ROUNDS_LONG if lab.long else ROUNDS
    lab.shell(f"truncate -s {STAYS * 512} stays.img")
    script = SCRIPT.replace("ROUNDS", str(rounds)).replace("SECTORS", str(SECTORS))
    guest = lab.start(script.replace("STAYS", str(STAYS)), disks=["stays.img"], control=True)
    for number in range(1, rounds + 1):
        guest.wait_for(rf"^add {number}$")
        lab.shell(f"rm -f comes.img && truncate -s {SECTORS * 512} comes.img")
        lab.control("disk-add", disk=f"{lab.dir}/comes.img,id=comes")
        guest.wait_for(rf"^remove {number}$")
        lab.control("disk-remove", disk="comes")
        open_files = lab.shell("ls -l /proc/[0-9]*/fd/ 2>/dev/null | grep -c /comes.img || true")
        lab.check(open_files.strip() == "0", "the disk is gone, but its file is still open")
    guest.finish()
    guest.check_end("poweroff")
    lab.fact("passes", guest.output.splitlines()[-1])
