/* SPDX-License-Identifier: MIT */
#ifndef BARE_METAL_SYS_UIO_H
#define BARE_METAL_SYS_UIO_H

#include <stddef.h>

struct iovec {
	void *iov_base;
	size_t iov_len;
};

#endif
