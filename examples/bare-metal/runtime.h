/* SPDX-License-Identifier: MIT */
/* What the demo has instead of an operating system. */
#ifndef BARE_METAL_RUNTIME_H
#define BARE_METAL_RUNTIME_H

#include <hvstack/types.h>

/* runtime.c */
extern const struct hvs_allocator heap;
size_t heap_used(void);
size_t heap_most(void); /* that was ever used */
void say(const char *text);
void say_number(uint64_t n);

/* machine.c, of each architecture */
void machine_put(char c);
_Noreturn void machine_exit(int failed);

/* demo.c; start.S calls it */
_Noreturn void demo(void);

#endif
