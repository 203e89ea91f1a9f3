/* SPDX-License-Identifier: MIT */
#include "host/sized.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

int hvsi_host_copy_sized(void *to, size_t our_size, const void *from, size_t first_size)
{
	const uint8_t *bytes = from;
	uint32_t size;

	if (!from)
		return -EINVAL;
	memcpy(&size, from, sizeof(size));
	if (size < first_size)
		return -EINVAL;
	for (size_t i = our_size; i < size; i++)
		if (bytes[i])
			return -ENOTSUP;

	memset(to, 0, our_size);
	memcpy(to, from, size < our_size ? size : our_size);
	return 0;
}

int hvsi_host_fill_sized(void *to, const void *ours, size_t our_size)
{
	uint32_t size;

	if (!to)
		return -EINVAL;
	memcpy(&size, to, sizeof(size));
	if (size < sizeof(size))
		return -EINVAL;
	if (size > our_size)
		size = (uint32_t)our_size;
	memcpy(to, ours, size);
	memcpy(to, &size, sizeof(size));
	return 0;
}
