/* SPDX-License-Identifier: MIT */
/* The number that guests write into HV_X64_MSR_GUEST_OS_ID. */
#include <hvstack/guestos.h>

#include "util/sized.h"

#include <errno.h>
#include <string.h>

#define OPEN_SOURCE (1ull << 63)
#define VENDOR_MICROSOFT 1u
#define OLD_LINUX 0xb16b00b5u /* upper half; it says no version */

enum { LINUX = 1, FREEBSD = 2, XEN = 3, ILLUMOS = 4 };
#define OPENBSD 1u /* of type FreeBSD, in what is left to the distribution */

static uint32_t bits(uint64_t id, unsigned high, unsigned low)
{
	return (uint32_t)(id >> low & ((1ull << (high - low + 1)) - 1));
}

static const char *open_source_name(uint32_t type, uint32_t distribution)
{
	switch (type) {
	case LINUX:
		return "Linux";
	case FREEBSD:
		return distribution == OPENBSD ? "OpenBSD" : "FreeBSD";
	case XEN:
		return "Xen";
	case ILLUMOS:
		return "illumos";
	default:
		return "unknown";
	}
}

static void decode_open_source(uint64_t id, struct hvs_guest_os *os)
{
	const uint32_t version = bits(id, 47, 16);

	os->open_source = true;
	if (bits(id, 63, 32) == OLD_LINUX) {
		os->type = LINUX;
		os->name = "Linux";
		return;
	}
	os->type = (uint8_t)bits(id, 62, 56);
	os->name = open_source_name(os->type, bits(id, 55, 48));
	os->build = (uint16_t)bits(id, 15, 0);
	os->patch = version;
	if (os->type == LINUX) {
		os->major = version >> 16;
		os->minor = version >> 8 & 0xff;
		os->patch = version & 0xff;
	} else if (os->type == FREEBSD && bits(id, 55, 48) != OPENBSD) {
		os->major = version / 100000;
		os->minor = version / 1000 % 100;
	}
}

static const char *microsoft_name(uint32_t type)
{
	static const char *const names[] = {"unknown",    "MS-DOS",     "Windows 3.x",
					    "Windows 9x", "Windows NT", "Windows CE"};

	return type < sizeof(names) / sizeof(names[0]) ? names[type] : names[0];
}

static void decode_vendor(uint64_t id, struct hvs_guest_os *os)
{
	os->vendor = (uint16_t)bits(id, 63, 48);
	os->type = (uint8_t)bits(id, 47, 40);
	os->major = bits(id, 39, 32);
	os->minor = bits(id, 31, 24);
	os->patch = bits(id, 23, 16);
	os->build = (uint16_t)bits(id, 15, 0);
	if (os->vendor == VENDOR_MICROSOFT)
		os->name = microsoft_name(os->type);
}

int hvs_guest_os_decode(uint64_t id, struct hvs_guest_os *os)
{
	struct hvs_guest_os o = {.present = id != 0, .name = "unknown"};

	if (id & OPEN_SOURCE)
		decode_open_source(id, &o);
	else
		decode_vendor(id, &o);
	return hvsi_fill_sized(os, &o, sizeof(o));
}
