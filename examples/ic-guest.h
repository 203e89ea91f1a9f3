/* SPDX-License-Identifier: MIT */
/* The guest of services.c and ic-observer.c: drivers and daemons of the integration services. */
#ifndef EXAMPLES_IC_GUEST_H
#define EXAMPLES_IC_GUEST_H

#include <hvstack/guest/loopback.h>
#include <hvstack/ic.h>

#define IC_GUEST_SERVICES 8u

struct ic_guest {
	struct hvs_loopback *lb;
	struct hvs_guest_channel *ch[IC_GUEST_SERVICES]; /* the service's; NULL: not offered */
	bool hangs;                                      /* it does not answer */
	const char *pairs[4][2]; /* what it says about itself: keys, values */
};

/* Start the machine: the guest opens all of these services, and agrees upon versions. 0 or a negative
 * errno. */
int ic_guest_boot(struct ic_guest *g, const enum hvs_ic_kind *kinds, unsigned count);

/* It answers all that it was asked, yes mostly. */
void ic_guest_answer(struct ic_guest *g);

#endif
