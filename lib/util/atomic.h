/* SPDX-License-Identifier: MIT */
/* The few atomic objects the library shares between threads. */
#ifndef HVSI_UTIL_ATOMIC_H
#define HVSI_UTIL_ATOMIC_H

#include <stdatomic.h>
#include <stdbool.h>

/* Polite busy-wait step. */
static inline void hvsi_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* Mutual exclusion for a few instructions; nothing is called while it is held. */
struct hvsi_spin {
	atomic_flag held;
};

static inline void hvsi_spin_init(struct hvsi_spin *s)
{
	atomic_flag_clear(&s->held);
}

static inline void hvsi_spin_lock(struct hvsi_spin *s)
{
	while (atomic_flag_test_and_set_explicit(&s->held, memory_order_acquire))
		hvsi_relax();
}

static inline void hvsi_spin_unlock(struct hvsi_spin *s)
{
	atomic_flag_clear_explicit(&s->held, memory_order_release);
}

/*
 * Lets many threads use something that one thread can take away: users enter, look at a pointer,
 * use what it points to and leave; the owner first clears the pointer, then drains. Users never
 * wait; the owner waits for the users that had entered before, which is a few instructions.
 *
 * The pointer must be loaded and stored seq_cst (atomic_load(), atomic_store()): only that keeps the
 * load behind the count of enter, and with it an owner that reads 0 ahead of a user that reads the old
 * pointer. So is leave, for users that look then whether the owner has asked meanwhile.
 */
struct hvsi_gate {
	atomic_uint users;
};

static inline void hvsi_gate_enter(struct hvsi_gate *g)
{
	atomic_fetch_add_explicit(&g->users, 1, memory_order_seq_cst);
}

static inline void hvsi_gate_leave(struct hvsi_gate *g)
{
	atomic_fetch_sub_explicit(&g->users, 1, memory_order_seq_cst);
}

static inline void hvsi_gate_drain(struct hvsi_gate *g)
{
	atomic_thread_fence(memory_order_seq_cst);
	while (atomic_load_explicit(&g->users, memory_order_acquire) != 0)
		hvsi_relax();
}

#endif
