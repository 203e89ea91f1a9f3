/* SPDX-License-Identifier: MIT */
/* The host's clock as time synchronization wants it (hvs_ic_ops.sample_time). */
#ifndef HVSTACK_HOST_TIMESAMPLE_H
#define HVSTACK_HOST_TIMESAMPLE_H

#include <hvstack/export.h>

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * host_time: CLOCK_REALTIME in units of 100 ns since 1601-01-01 00:00 UTC, and the guest's reference counter
 * at that instant: reference_time() reads it right before and after the clock, more than once, and the
 * middle of the shortest time counts. Without reference_time (NULL), *reference is left alone.
 *
 * 0, or the negative errno that reference_time() returned. [any]
 */
HVS_API HVS_NODISCARD int hvs_timesample(int (*reference_time)(void *arg, uint64_t *value),
					 void *arg, uint64_t *host_time, uint64_t *reference);

#ifdef __cplusplus
}
#endif
#endif
