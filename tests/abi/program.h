/* SPDX-License-Identifier: MIT */
/*
 * A program that gives the library each struct that may grow, and looks at what becomes of it. It is
 * compiled with the headers of the oldest release that is promised to work (include-0.1/), and run
 * with this library, and with one whose structs have all grown.
 *
 * A struct that is newer than those headers stands between #ifdef HVS_..._INIT and #endif.
 */
#ifndef ABI_PROGRAM_H
#define ABI_PROGRAM_H

#include <hvstack/guest/loopback.h>
#include <hvstack/hvstack.h>

#include <stddef.h>

#define SOME_ERRNO 1 /* any, but those that say that the struct is wrong */

/* A struct that the library is given. */
struct given {
	const char *name;
	const void *good;
	size_t size;
	int result; /* of take(good); SOME_ERRNO: depends on the machine */
	/* Hand it in, and undo that. */
	int (*take)(const void *x);
};

/* A struct that the library fills in. */
struct filled {
	const char *name;
	size_t size;
	int (*fill)(void *x);
};

#define GIVEN(s, good, result)                                                                     \
	{                                                                                          \
#s, &(good), sizeof(struct hvs_##s), (result), take_##s                            \
	}
#define FILLED(s)                                                                                  \
	{                                                                                          \
#s, sizeof(struct hvs_##s), fill_##s                                               \
	}

extern const struct given given_core[], given_guest[], given_host[]; /* ends with name NULL */
extern const struct filled filled_core[], filled_guest[], filled_host[];

/* A disk and a NIC with back ends of this program at work, each request and frame `more` bytes longer
 * than this program's headers say. 0, or what failed. Covers blk_req, blk_info, net_frame, net_info. */
int disk_at_work(size_t more);
int nic_at_work(size_t more);

/* Of this program, that do nothing. */
extern const struct hvs_backend_ops backend_ops;
extern const struct hvs_blk_ops no_blk_ops;
extern const struct hvs_net_ops no_net_ops;

/* A machine that has not started; NULL: it could not be made. */
struct hvs_loopback *machine(void);

#endif
