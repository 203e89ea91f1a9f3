/* SPDX-License-Identifier: MIT */
/*
 * Pointers into guest memory, and the only functions that may look through them.
 *
 * The guest changes the bytes at any time. clang refuses to dereference such a pointer anywhere
 * else; a value is read once, into private memory, and used from there.
 */
#ifndef HVSI_MEM_GUESTPTR_H
#define HVSI_MEM_GUESTPTR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__clang__)
#define HVSI_GUEST __attribute__((noderef, address_space(1)))
#if __has_feature(thread_sanitizer)
#define HVSI_TSAN 1
#endif
#else
#define HVSI_GUEST
#ifdef __SANITIZE_THREAD__
#define HVSI_TSAN 1
#endif
#endif

/* For handing guest memory to somebody who only moves bytes (an iovec), and for the host's view
 * of an address that came in through the API. */
static inline void *hvsi_guest_to_host(uint8_t HVSI_GUEST *p)
{
	return (void *)(uintptr_t)p;
}

static inline uint8_t HVSI_GUEST *hvsi_guest_from_host(void *p)
{
	return (uint8_t HVSI_GUEST *)(uintptr_t)p;
}

#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
/* A fuzz target that defines it changes guest memory right before it is read, as other VPs may. */
__attribute__((weak)) void hvsi_fuzz_before_read(const uint8_t HVSI_GUEST *p, size_t len);

static inline void hvsi_guest_runs(const uint8_t HVSI_GUEST *p, size_t len)
{
	if (hvsi_fuzz_before_read)
		hvsi_fuzz_before_read(p, len);
}
#else
#define hvsi_guest_runs(p, len) ((void)0)
#endif

#ifdef HVSI_TSAN
/* The guest may write what we read: that is no race of ours. memcpy would be looked at. */
__attribute__((no_sanitize("thread"))) static inline void hvsi_racy_copy(void *to, const void *from,
									 size_t len)
{
	for (size_t i = 0; i < len; i++)
		((volatile uint8_t *)to)[i] = ((const volatile uint8_t *)from)[i];
}
#else
#define hvsi_racy_copy memcpy
#endif

static inline void hvsi_guest_read(void *to, const uint8_t HVSI_GUEST *from, size_t len)
{
	hvsi_guest_runs(from, len);
	hvsi_racy_copy(to, (const void *)(uintptr_t)from, len);
	/* For the compiler: what is used from here on is the copy, it fetches nothing again. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static inline void hvsi_guest_write(uint8_t HVSI_GUEST *to, const void *from, size_t len)
{
	hvsi_racy_copy((void *)(uintptr_t)to, from, len);
}

static inline void hvsi_guest_zero(uint8_t HVSI_GUEST *to, size_t len)
{
	memset((void *)(uintptr_t)to, 0, len);
}

/*
 * Shared words, naturally aligned, little endian as on every host that has such guests. A load is an
 * acquire, a store a release, what does both is both; a store and a load after it, of another word,
 * may still pass each other.
 */
static inline uint32_t hvsi_guest_load32(const uint8_t HVSI_GUEST *p)
{
	hvsi_guest_runs(p, sizeof(uint32_t));
	return __atomic_load_n((const uint32_t *)(uintptr_t)p, __ATOMIC_ACQUIRE);
}

static inline void hvsi_guest_store32(uint8_t HVSI_GUEST *p, uint32_t v)
{
	__atomic_store_n((uint32_t *)(uintptr_t)p, v, __ATOMIC_RELEASE);
}

/* Returns the old value. */
static inline uint32_t hvsi_guest_or32(uint8_t HVSI_GUEST *p, uint32_t bits)
{
	hvsi_guest_runs(p, sizeof(uint32_t));
	return __atomic_fetch_or((uint32_t *)(uintptr_t)p, bits, __ATOMIC_SEQ_CST);
}

/* Returns the old value. */
static inline uint32_t hvsi_guest_swap32(uint8_t HVSI_GUEST *p, uint32_t v)
{
	hvsi_guest_runs(p, sizeof(uint32_t));
	return __atomic_exchange_n((uint32_t *)(uintptr_t)p, v, __ATOMIC_SEQ_CST);
}

static inline void hvsi_guest_or8(uint8_t HVSI_GUEST *p, uint8_t bits)
{
	__atomic_fetch_or((uint8_t *)(uintptr_t)p, bits, __ATOMIC_SEQ_CST);
}

/* What was written before it, guest memory and ours, is seen by all before what is read or written
 * after it happens. */
static inline void hvsi_guest_barrier(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

#endif
