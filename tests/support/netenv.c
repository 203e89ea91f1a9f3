/* SPDX-License-Identifier: MIT */
#include "support/netenv.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- frames ----------------------------------------------------------------------------- */

static uint32_t add_words(const uint8_t *bytes, uint32_t len, uint32_t sum)
{
	for (uint32_t i = 0; i < len; i++)
		sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
	return sum;
}

uint16_t hvst_sum(const uint8_t *bytes, uint32_t len, uint32_t seed)
{
	uint32_t sum = add_words(bytes, len, seed);

	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

uint32_t hvst_udp4(uint8_t *to, uint32_t payload, uint8_t mark)
{
	const uint16_t udp_len = (uint16_t)(8 + payload);
	const uint16_t ip_len = (uint16_t)(20 + udp_len);
	const uint8_t head[42] = {0x02,
				  0,
				  0,
				  0,
				  0,
				  2,
				  0x02,
				  0,
				  0,
				  0,
				  0,
				  1,
				  0x08,
				  0x00, /* Ethernet */
				  0x45,
				  0,
				  (uint8_t)(ip_len >> 8),
				  (uint8_t)ip_len,
				  0,
				  mark,
				  0x40,
				  0,
				  64,
				  17,
				  0,
				  0,
				  10,
				  9,
				  0,
				  2,
				  10,
				  9,
				  0,
				  1, /* IP */
				  0x12,
				  0x34,
				  0x56,
				  mark,
				  (uint8_t)(udp_len >> 8),
				  (uint8_t)udp_len,
				  0,
				  0};
	uint16_t sum;

	memcpy(to, head, sizeof(head));
	sum = (uint16_t)~hvst_sum(to + 14, 20, 0);
	to[24] = (uint8_t)(sum >> 8);
	to[25] = (uint8_t)sum;
	for (uint32_t i = 0; i < payload; i++)
		to[sizeof(head) + i] = (uint8_t)(mark + i);
	sum = (uint16_t)~hvst_sum(to + 34, udp_len, 17u + udp_len + hvst_sum(to + 26, 8, 0));
	to[40] = (uint8_t)(sum >> 8);
	to[41] = (uint8_t)sum;
	return (uint32_t)sizeof(head) + payload;
}

/* ---- time, and the world ---------------------------------------------------------------- */

void hvst_turn(struct event_base *base)
{
	const struct timespec ms = {.tv_nsec = 1000000};

	if (base)
		event_base_loop(base, EVLOOP_NONBLOCK);
	nanosleep(&ms, NULL);
}

void hvst_linger(struct event_base *base, unsigned ms)
{
	for (unsigned i = 0; i < ms; i++)
		hvst_turn(base);
}

void hvst_own_network(void)
{
	if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0)
		cr_assert_fail("this test makes network interfaces in a network namespace of its "
			       "own, and so has to be run by root: %s",
			       strerror(errno));
	hvst_shell("ip link set lo up");
	hvst_shell("echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6");
}

void hvst_shell(const char *format, ...)
{
	char *command = NULL;
	va_list args;

	va_start(args, format);
	cr_assert_geq(vasprintf(&command, format, args), 0);
	va_end(args);
	cr_assert_eq(system(command), 0, "%s", command); /* NOLINT(cert-env33-c) */
	free(command);
}
