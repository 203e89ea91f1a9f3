/* SPDX-License-Identifier: MIT */
#include "ports.h"

#include <assert.h>
#include <linux/kvm.h>
#include <string.h>

void ports_add(struct ports *ports, const struct port_range *range)
{
	assert(ports->count < PORTS_MAX);
	ports->ranges[ports->count++] = *range;
}

static const struct port_range *find(const struct ports *ports, uint16_t port)
{
	for (size_t i = 0; i < ports->count; i++) {
		const struct port_range *range = &ports->ranges[i];

		if (port >= range->first && port - range->first < range->count)
			return range;
	}
	return NULL;
}

void ports_handle_exit(const struct ports *ports, struct kvm_run *run)
{
	const struct port_range *range = find(ports, run->io.port);
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	/* size is 1, 2 or 4; count is more than 1 for string instructions; x86 is little endian */
	for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
		uint32_t value = UINT32_MAX;

		if (run->io.direction == KVM_EXIT_IO_IN) {
			if (range)
				value = range->in(range->device, run->io.port);
			memcpy(data, &value, run->io.size);
		} else if (range) {
			value = 0;
			memcpy(&value, data, run->io.size);
			range->out(range->device, run->io.port, value);
		}
	}
}
