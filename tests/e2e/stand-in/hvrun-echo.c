/* SPDX-License-Identifier: MIT */
/*
 * hvrun with one device more, examples/echo-vsp.c: the linker (--wrap) puts this in front of the start
 * of the bus. hvrun itself knows nothing of it.
 */
#include "echo-vsp.h"

int __real_hvs_vmbus_start(struct hvs_vmbus *bus);
int __wrap_hvs_vmbus_start(struct hvs_vmbus *bus);

int __wrap_hvs_vmbus_start(struct hvs_vmbus *bus)
{
	int err = echo_offer(bus);

	return err ? err : __real_hvs_vmbus_start(bus);
}
