/* SPDX-License-Identifier: MIT */
#include "program.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MORE 256u /* longer than any version of a struct that there will be */

static bool newer; /* compiled with newer headers than the library was */
static unsigned passed;
static unsigned failed;

static void check(const char *name, const char *what, bool ok, int result)
{
	if (ok) {
		passed++;
	} else {
		failed++;
		printf("FAILED %s: %s: %d\n", name, what, result);
	}
}

/* ---- structs that the library is given ---------------------------------------------------------- */

static void *copy(const struct given *g, uint32_t size)
{
	char *x = calloc(1, g->size + MORE);

	if (!x)
		abort();
	memcpy(x, g->good, g->size);
	memcpy(x, &size, sizeof(size));
	return x;
}

static void test_given(const struct given *g)
{
	char *x = copy(g, (uint32_t)(g->size + MORE));
	int usual = g->take(g->good);
	uint32_t size = sizeof(size);
	int result;

	check(g->name, "as it is",
	      g->result == SOME_ERRNO ? usual != -EINVAL && usual != -ENOTSUP : usual == g->result,
	      usual);
	result = g->take(x);
	check(g->name, "longer, nothing new is used", result == usual, result);
	x[g->size + MORE - 1] = 1;
	result = g->take(x);
	check(g->name, "longer, something new is used", result == -ENOTSUP, result);
	memcpy(x, &size, sizeof(size));
	result = g->take(x);
	check(g->name, "too short", result == -EINVAL, result);
	free(x);
	/* A library that looks behind the end of an older struct reads what is not zero. */
	x = copy(g, (uint32_t)g->size);
	memset(x + g->size, 0xa5, MORE);
	result = g->take(x);
	check(g->name, "something else behind it", result == usual, result);
	free(x);
}

/* ---- structs that the library fills in ----------------------------------------------------------- */

static uint32_t size_of(const void *x)
{
	uint32_t size;

	memcpy(&size, x, sizeof(size));
	return size;
}

static bool is(const uint8_t *bytes, size_t n, uint8_t value)
{
	for (size_t i = 0; i < n; i++)
		if (bytes[i] != value)
			return false;
	return true;
}

static void test_filled(const struct filled *f)
{
	uint8_t *x = malloc(f->size + MORE);
	uint32_t size = (uint32_t)f->size;
	int result;

	if (!x)
		abort();
	memset(x, 0xa5, f->size + MORE);
	memcpy(x, &size, sizeof(size));
	result = f->fill(x);
	check(f->name, "as it is",
	      result == 0 && (newer ? size_of(x) < f->size : size_of(x) == f->size), result);
	check(f->name, "nothing behind it is written", is(x + f->size, MORE, 0xa5), result);

	size = (uint32_t)(f->size + MORE);
	memcpy(x, &size, sizeof(size));
	result = f->fill(x);
	size = size_of(x);
	check(f->name, "longer: its size says what was filled in",
	      result == 0 && (newer || size >= f->size) && size < f->size + MORE &&
		      is(x + size, f->size + MORE - size, 0xa5),
	      result);
	size = sizeof(size) - 1;
	memcpy(x, &size, sizeof(size));
	result = f->fill(x);
	check(f->name, "too short", result == -EINVAL, result);
	free(x);
}

/* ---- all of them --------------------------------------------------------------------------------- */

static const char *const at_work[] = {"blk_req", "blk_info", "net_frame", "net_info"};

static void run(const struct given *given, const struct filled *filled, bool list)
{
	for (; given->name; given++)
		list ? (void)printf("hvs_%s\n", given->name) : test_given(given);
	for (; filled->name; filled++)
		list ? (void)printf("hvs_%s\n", filled->name) : test_filled(filled);
}

int main(int argc, char **argv)
{
	const bool list = argc > 1 && strcmp(argv[1], "--list") == 0;
	int result;

	newer = argc > 1 && strcmp(argv[1], "--newer") == 0;
	run(given_core, filled_core, list);
	run(given_guest, filled_guest, list);
	run(given_host, filled_host, list);
	if (list) {
		for (size_t i = 0; i < sizeof(at_work) / sizeof(at_work[0]); i++)
			printf("hvs_%s\n", at_work[i]);
		return 0;
	}
	result = disk_at_work(0);
	check("blk_req, blk_info", "a disk at work", result == 0, result);
	result = disk_at_work(MORE);
	check("blk_req, blk_info", "a disk at work, longer requests", result == 0, result);
	result = nic_at_work(0);
	check("net_frame, net_info", "a NIC at work", result == 0, result);
	result = nic_at_work(MORE);
	check("net_frame, net_info", "a NIC at work, longer frames", result == 0, result);
	printf("%u passed, %u failed\n", passed, failed);
	return failed || !passed ? 1 : 0;
}
