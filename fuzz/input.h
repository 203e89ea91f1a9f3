/* SPDX-License-Identifier: MIT */
/* Fuzzer input as a stream of numbers and bytes; past its end everything is 0. */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* What every target defines. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *p;
	size_t left;
};

static inline bool input_more(const struct input *in)
{
	return in->left != 0;
}

/* Up to len bytes; returns how many there were, the rest of `to` is zeroed. */
static inline size_t input_bytes(struct input *in, void *to, size_t len)
{
	size_t n = len < in->left ? len : in->left;

	memset(to, 0, len);
	memcpy(to, in->p, n);
	in->p += n;
	in->left -= n;
	return n;
}

static inline uint64_t input_number(struct input *in, size_t bytes)
{
	uint64_t v = 0;

	input_bytes(in, &v, bytes);
	return v;
}

#endif
