/* SPDX-License-Identifier: MIT */
/*
 * Guest memory that changes between two reads of the library's, in the same way each time an
 * input is run. An input begins with the list of changes: a count, then for each of them
 *
 *   u8      reads that pass before it
 *   u8      where, in the bytes that are read next
 *   u8[4]   what the guest writes there
 *
 * Programs that replay without libFuzzer take the list off the input and change nothing.
 */
#ifndef FUZZ_RACE_H
#define FUZZ_RACE_H

#include "input.h"

#include "mem/guestptr.h"

#define RACE_MAX 32u

static struct {
	struct input changes;
	unsigned wait; /* reads before the next change */
	uint8_t *ram;  /* NULL: not started */
	size_t ram_len;
} race;

/* First thing in each input. */
static inline void race_take(struct input *in)
{
	size_t len = input_number(in, 1) % RACE_MAX * 6;

	race.changes = (struct input){in->p, len < in->left ? len : in->left};
	in->p += race.changes.left;
	in->left -= race.changes.left;
	race.wait = (unsigned)input_number(&race.changes, 1);
	race.ram = NULL;
}

/* From now on this memory changes, and no other. */
static inline void race_start(uint8_t *ram, size_t len)
{
	race.ram = ram;
	race.ram_len = len;
}

#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
void hvsi_fuzz_before_read(const uint8_t HVSI_GUEST *p, size_t len)
{
	const size_t off = (uintptr_t)p - (uintptr_t)race.ram;
	uint8_t bytes[4];
	size_t at;

	if (!race.ram || !len || !input_more(&race.changes) || off >= race.ram_len)
		return;
	if (race.wait) {
		race.wait--;
		return;
	}
	at = input_number(&race.changes, 1) % len;
	input_bytes(&race.changes, bytes, sizeof(bytes));
	memcpy(race.ram + off + at, bytes, len - at < 4 ? len - at : 4);
	race.wait = (unsigned)input_number(&race.changes, 1);
}
#endif

#endif
