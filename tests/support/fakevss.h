/* SPDX-License-Identifier: MIT */
/* A volume shadow copy service instead of the library's: the test answers as the guest. */
#ifndef HVS_TESTS_SUPPORT_FAKEVSS_H
#define HVS_TESTS_SUPPORT_FAKEVSS_H

#include <hvstack/vss.h>

/* What the guest was asked, oldest first, as letters: c check, f freeze, t thaw, b backup complete. */
extern char vss_asked[64];
/* The state it is in, as the service sees it. */
extern enum hvs_vss_state vss_state;
/* The next call of this kind returns that; 0: it is taken. */
extern int vss_refuses[128];

/* The service of the guest; any address will do. */
struct hvs_ic *vss(void);

/* Answer what was asked last of that kind; it must be waiting. */
void vss_answer(char kind, int status, uint32_t guest_status);

/* Is a request of that kind waiting? */
bool vss_waits(char kind);

/* Answer one that waits, if any, with 0. */
void vss_run(void);

#endif
