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
