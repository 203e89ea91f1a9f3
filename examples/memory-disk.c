/* SPDX-License-Identifier: MIT */
/* The machine of minimal-vmm.c with a disk in memory. */
#include "minimal-vmm.h"

#include <stdio.h>
#include <string.h>

int main(void)
{
	static char data[1u << 20];
	struct hvs_memdisk disk = {HVS_MEMDISK_INIT, .data = data, .len = sizeof(data),
				   .block_size = 512};
	int err = vmm_run(hvs_memdisk_ops(), &disk);

	if (!err)
		printf("the disk holds what the guest wrote: %s\n", data);
	else
		fprintf(stderr, "failed: %s\n", strerror(-err));
	return err ? 1 : 0;
}
