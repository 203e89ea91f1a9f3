/* SPDX-License-Identifier: MIT */
/* Addresses as text: the C library decides what is right. */
#include "support/rng.h"
#include "util/inet.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static void compare(const char *text)
{
	uint8_t want[16] = {0};
	uint8_t got[16] = {0};
	bool ok = inet_pton(AF_INET6, text, want) == 1;

	cr_assert_eq(hvsi_inet6_parse(text, strlen(text), got), ok, "IPv6 %s", text);
	cr_assert(!ok || memcmp(want, got, 16) == 0, "IPv6 %s", text);
	ok = inet_pton(AF_INET, text, want) == 1;
	cr_assert_eq(hvsi_inet4_parse(text, strlen(text), got), ok, "IPv4 %s", text);
	cr_assert(!ok || memcmp(want, got, 4) == 0, "IPv4 %s", text);
}

static void print_and_parse(const uint8_t address[16])
{
	char want[HVSI_INET6_TEXT];
	char got[HVSI_INET6_TEXT];

	cr_assert_not_null(inet_ntop(AF_INET6, address, want, sizeof(want)));
	cr_assert_eq(hvsi_inet6_print(address, got), strlen(want));
	cr_assert_str_eq(got, want);
	compare(got);
	cr_assert_not_null(inet_ntop(AF_INET, address, want, sizeof(want)));
	cr_assert_eq(hvsi_inet4_print(address, got), strlen(want));
	cr_assert_str_eq(got, want);
	compare(got);
}

Test(inet, texts_that_go_wrong_easily)
{
	static const char *const texts[] = {
		"",
		":",
		"::",
		":::",
		"::1",
		"1::",
		"1:::2",
		"1::2::3",
		"1:2:3:4:5:6:7:8",
		"1:2:3:4:5:6:7",
		"1:2:3:4:5:6:7:8:9",
		"::1:2:3:4:5:6:7:8",
		"1:2:3:4:5:6:7::",
		"12345::",
		"g::",
		":1",
		"1:",
		"1::2:",
		"::ffff:1.2.3.4",
		"1.2.3.4::",
		"::1.2.3",
		"::1.2.3.256",
		"1:2:3:4:5:6:7:1.2.3.4",
		"1:2:3:4:5:6:1.2.3.4",
		"::1.2.3.4:5",
		"1.2.3.4",
		"01.2.3.4",
		"1.2.3",
		"1.2.3.4.5",
		"256.1.1.1",
		".1.2.3.4",
		"1..2.3",
		"1.2.3.4 ",
		" 1.2.3.4",
		"1.2.3.04",
		"0.0.0.0",
		"1.2.3.-4",
		"0x1.2.3.4",
		"1.2.3.4.",
		"99999999999.1.1.1",
		"fe80::1%eth0",
		"FE80::ABCD",
		"::00001",
		"::12345",
		"0:0:0:0:0:0:0:0",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		compare(texts[i]);
}

Test(inet, random_addresses_are_printed_and_read_as_the_c_library_does)
{
	struct rng rng = {.state = 6};
	uint8_t a[16];

	for (unsigned n = 0; n < 100000; n++) {
		for (unsigned i = 0; i < 16; i++)
			a[i] = rng_next(&rng) % 3 ? 0 : (uint8_t)rng_next(&rng);
		if (n % 4 == 0) {
			memset(a, 0, 10);
			memset(a + 10, n % 8 ? 0 : 0xff, 2);
		}
		print_and_parse(a);
	}
}

Test(inet, hostile_texts_are_judged_as_the_c_library_does)
{
	static const char alphabet[] = "0123456789abcdefABCF::::....g%/";
	struct rng rng = {.state = 7};
	char text[48];

	for (unsigned n = 0; n < 400000; n++) {
		const size_t len = rng_next(&rng) % 24;

		for (size_t i = 0; i < len; i++)
			text[i] = alphabet[rng_next(&rng) % (sizeof(alphabet) - 1)];
		text[len] = '\0';
		compare(text);
	}
}

Test(inet, texts_one_letter_away_from_an_address)
{
	static const char alphabet[] = "0129afF:.g%";
	struct rng rng = {.state = 8};
	char text[HVSI_INET6_TEXT];
	uint8_t a[16];

	for (unsigned n = 0; n < 200000; n++) {
		for (unsigned i = 0; i < 16; i++)
			a[i] = rng_next(&rng) % 2 ? 0 : (uint8_t)rng_next(&rng);
		text[n % 2 ? hvsi_inet4_print(a, text) : hvsi_inet6_print(a, text)] = '\0';
		text[rng_next(&rng) % strlen(text)] =
			alphabet[rng_next(&rng) % (sizeof(alphabet) - 1)];
		compare(text);
	}
}

Test(inet, decimal_numbers)
{
	static const uint64_t numbers[] = {0, 9, 10, 4294967295u, UINT64_MAX};
	char want[24];
	char got[24];

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		(void)snprintf(want, sizeof(want), "%llu", (unsigned long long)numbers[i]);
		got[hvsi_decimal(numbers[i], got)] = '\0';
		cr_assert_str_eq(got, want);
	}
}
