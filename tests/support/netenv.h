/* SPDX-License-Identifier: MIT */
/* What tests of network back ends have around them: time, frames, a network of their own. */
#ifndef HVST_NETENV_H
#define HVST_NETENV_H

#include <stdbool.h>
#include <stdint.h>

struct event_base;

/* Run the base until the condition holds; the test fails if that takes 20 s. */
#define hvst_until(base, condition)                                                                \
	do {                                                                                       \
		for (unsigned hvst_i = 0; !(condition); hvst_i++) {                                \
			cr_assert(hvst_i < 20000, "never: %s", #condition);                        \
			hvst_turn(base);                                                           \
		}                                                                                  \
	} while (0)
/* What is due, and a millisecond if nothing was. base may be NULL. */
void hvst_turn(struct event_base *base);
/* For a while, to see that nothing happens. */
void hvst_linger(struct event_base *base, unsigned ms);

/* Frames. Returns the length. */
uint32_t hvst_udp4(uint8_t *to, uint32_t payload, uint8_t mark);
uint16_t hvst_sum(const uint8_t *bytes, uint32_t len, uint32_t seed);

/* A network namespace of this test's own, with a loopback interface. */
void hvst_own_network(void);
/* A command of the shell has to succeed. */
__attribute__((format(printf, 1, 2))) void hvst_shell(const char *format, ...);

#endif
