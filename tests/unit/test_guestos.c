/* SPDX-License-Identifier: MIT */
/* What guests say they are. */
#include <hvstack/guestos.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

Test(guestos, systems)
{
	static const struct {
		uint64_t id;
		struct hvs_guest_os os;
	} table[] = {
		{0, {.name = "unknown"}},
		/* Linux 6.1.140, and one that had no version yet. */
		{0x8100000000000000ull | (uint64_t)0x06018c << 16,
		 {.present = true,
		  .open_source = true,
		  .type = 1,
		  .major = 6,
		  .minor = 1,
		  .patch = 140,
		  .name = "Linux"}},
		{0xb16b00b500000000ull,
		 {.present = true, .open_source = true, .type = 1, .name = "Linux"}},
		{0x8200000000000000ull | (uint64_t)1302001 << 16,
		 {.present = true,
		  .open_source = true,
		  .type = 2,
		  .major = 13,
		  .minor = 2,
		  .patch = 1302001,
		  .name = "FreeBSD"}},
		{0x8201000000000000ull | (uint64_t)202504 << 16,
		 {.present = true,
		  .open_source = true,
		  .type = 2,
		  .patch = 202504,
		  .name = "OpenBSD"}},
		{0x8300000000040011ull,
		 {.present = true,
		  .open_source = true,
		  .type = 3,
		  .patch = 4,
		  .build = 17,
		  .name = "Xen"}},
		{0x8400000000000000ull,
		 {.present = true, .open_source = true, .type = 4, .name = "illumos"}},
		{0xff00000000000000ull,
		 {.present = true, .open_source = true, .type = 0x7f, .name = "unknown"}},
		/* Windows 10, build 19041; another vendor's; a number that nobody has given. */
		{0x0001040a00004a61ull,
		 {.present = true,
		  .vendor = 1,
		  .type = 4,
		  .major = 10,
		  .build = 19041,
		  .name = "Windows NT"}},
		{0x0001040603011db1ull,
		 {.present = true,
		  .vendor = 1,
		  .type = 4,
		  .major = 6,
		  .minor = 3,
		  .patch = 1,
		  .build = 7601,
		  .name = "Windows NT"}},
		{0x0001050000000000ull,
		 {.present = true, .vendor = 1, .type = 5, .name = "Windows CE"}},
		{0x0001060000000000ull,
		 {.present = true, .vendor = 1, .type = 6, .name = "unknown"}},
		{0x0002040000000000ull,
		 {.present = true, .vendor = 2, .type = 4, .name = "unknown"}},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct hvs_guest_os *want = &table[i].os;
		struct hvs_guest_os os = {HVS_GUEST_OS_INIT};

		cr_assert_eq(hvs_guest_os_decode(table[i].id, &os), 0);
		cr_expect_eq(os.present, want->present, "row %zu", i);
		cr_expect_eq(os.open_source, want->open_source, "row %zu", i);
		cr_expect_eq(os.vendor, want->vendor, "row %zu", i);
		cr_expect_eq(os.type, want->type, "row %zu", i);
		cr_expect_eq(os.major, want->major, "row %zu: %u", i, os.major);
		cr_expect_eq(os.minor, want->minor, "row %zu: %u", i, os.minor);
		cr_expect_eq(os.patch, want->patch, "row %zu: %u", i, os.patch);
		cr_expect_eq(os.build, want->build, "row %zu: %u", i, os.build);
		cr_expect_str_eq(os.name, want->name, "row %zu", i);
	}
}

Test(guestos, callers_of_another_age)
{
	struct hvs_guest_os os = {.size = 8, .name = "kept"};

	cr_assert_eq(hvs_guest_os_decode(1ull << 63, &os), 0);
	cr_assert_eq(os.size, 8);
	cr_assert_str_eq(os.name, "kept");
	os.size = 3;
	cr_assert_eq(hvs_guest_os_decode(0, &os), -EINVAL);
	cr_assert_eq(hvs_guest_os_decode(0, NULL), -EINVAL);
}
