/* SPDX-License-Identifier: MIT */
/* Linux direct boot: no firmware, the kernel's 64-bit entry point. */
#ifndef HVRUN_BOOT_LINUX_H
#define HVRUN_BOOT_LINUX_H

#include <asm/bootparam.h>
#include <stdint.h>

struct machine;
struct options;

/* A kernel and an initial RAM disk that fit into the guest, and where they go. */
struct linux_image {
	int kernel_fd;
	int initrd_fd;              /* -1: none */
	struct setup_header header; /* of the kernel */
	uint64_t kernel_offset;     /* in the file, of the part that is loaded */
	uint64_t kernel_bytes;
	uint64_t kernel_gpa;
	uint64_t initrd_bytes;
	uint64_t initrd_gpa;
	const char *cmdline;
};

/*
 * Open and check the files, before there is a machine. Call linux_image_close() whether or not
 * this succeeds.
 */
int linux_image_open(struct linux_image *image, const struct options *opt);
void linux_image_close(struct linux_image *image);

/* Load it and point vCPU 0 at it. */
int linux_image_boot(const struct linux_image *image, struct machine *machine);

#endif
