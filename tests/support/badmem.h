/* SPDX-License-Identifier: MIT */
/* Memory that runs out: allocations of lib/host, which the linker diverts to here (BADMEM_WRAPS in
 * tests/CMakeLists.txt). Whatever thread asks is counted. */
#ifndef HVST_BADMEM_H
#define HVST_BADMEM_H

#include <stdbool.h>

/* Let the nth allocation from now on (0: the next) fail, once. */
void badmem_arm(unsigned n);
/* From now on none. True: one has failed. */
bool badmem_disarm(void);

#endif
