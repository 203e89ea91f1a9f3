"""fio writes blocks of all sizes from four jobs and checks them; all channels of the disk work."""

from lab import images

PACKAGES = images.TOOLS

CPUS = 4
OPTIONS = ["--io-threads", "3"]
SECONDS = 6
SECONDS_LONG = 60

SCRIPT = r"""
. /run/e2e/lib.sh
disk=$(nth_disk 1)
cd /sys/bus/vmbus/devices
used()
{
	for channel in $(grep -l ba6163d9 */class_id | sed 's|class_id|channels/*|'); do
		echo "${channel##*/} $(cat $channel/cpu $channel/events $channel/interrupts | xargs)"
	done
}
used > /tmp/before
fio --name=jobs --filename=$disk --direct=1 --ioengine=libaio --thread --rw=randwrite \
	--bsrange=512-1M --iodepth=32 --numjobs=4 --size=25% --offset_increment=25% \
	--verify=crc32c --verify_fatal=1 --verify_backlog=64 --verify_backlog_batch=32 \
	--verify_state_save=0 --eta=never --time_based --runtime=SECONDS \
	--group_reporting --output=/tmp/fio ||
	{ tail -n 40 /tmp/fio; fail "fio found an error"; }
grep -E 'err=|READ:|WRITE:' /tmp/fio
used > /tmp/after
join /tmp/before /tmp/after | while read -r id cpu out in _ out2 in2; do
	echo "channel $id: CPU $cpu, $((out2 - out)) signals to the host, $((in2 - in)) interrupts"
done
complaints && fail "see above"
exit 0
"""


def run(lab):
    lab.shell("truncate -s 512M data.img")
    seconds = SECONDS_LONG if lab.long else SECONDS
    script = SCRIPT.replace("SECONDS", str(seconds))
    output = lab.boot(script, disks=["data.img"], cpus=CPUS, options=OPTIONS)
    lines = output.splitlines()
    lab.fact("fio", [x.strip() for x in lines if x.lstrip().startswith(("READ:", "WRITE:"))])
    channels = [x for x in lines if x.startswith("channel ")]
    lab.fact("channels", channels)
    lab.check("err= 0" in output, f"fio said: {output}")
    lab.check(len(channels) == CPUS, f"not a channel for each CPU: {channels}")
    idle = [x for x in channels if " 0 signals" in x or " 0 interrupts" in x]
    lab.check(not idle, f"no traffic: {idle}")
