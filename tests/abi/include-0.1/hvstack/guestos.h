/* SPDX-License-Identifier: MIT */
/* Which operating system a guest says it is, by the number it writes into HV_X64_MSR_GUEST_OS_ID
 * (hvs_hv_guest_os_id()); TLFS 3.x "Guest OS identity". */
#ifndef HVSTACK_GUESTOS_H
#define HVSTACK_GUESTOS_H

#include <hvstack/export.h>

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Decoded, set size. Guest-controlled: a hint, nothing to rely on. */
struct hvs_guest_os {
	uint32_t size;
	bool present;     /* false: the number was 0, the guest is not enlightened */
	bool open_source; /* layout: open source, else with a vendor */
	uint16_t vendor;  /* without open_source: 1: Microsoft */
	uint8_t type; /* open source: 1 Linux, 2 FreeBSD, 3 Xen, 4 illumos; Microsoft 4: Windows NT */
	uint32_t major;   /* of the version */
	uint32_t minor;   /* of the version */
	uint32_t patch;   /* Linux: patch level; Windows: service pack; else the version as it is */
	uint16_t build;   /* build number, or what the distribution has put there */
	const char *name; /* static: "Linux", "Windows NT", "unknown" */
};
#define HVS_GUEST_OS_INIT .size = (uint32_t)sizeof(struct hvs_guest_os)

/*
 * Take id, the value of HV_X64_MSR_GUEST_OS_ID, apart.
 *
 * 0, -EINVAL (NULL, or size is too small to be one). [any]
 */
HVS_API int hvs_guest_os_decode(uint64_t id, struct hvs_guest_os *os);

#ifdef __cplusplus
}
#endif
#endif
