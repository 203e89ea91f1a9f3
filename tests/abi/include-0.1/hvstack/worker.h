/* SPDX-License-Identifier: MIT */
/*
 * Workers: the serial contexts in which the library runs. The library makes no threads; whoever
 * is woken for a worker calls hvs_worker_dispatch(). Which thread that is may change between two
 * calls, but only one may be inside at a time.
 */
#ifndef HVSTACK_WORKER_H
#define HVSTACK_WORKER_H

#include <hvstack/export.h>
#include <hvstack/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The worker that runs the control protocol, and all devices that were not given another. [any] */
HVS_API struct hvs_worker *hvs_vmbus_main_worker(struct hvs_vmbus *bus);

/*
 * One more worker for devices of this bus; freed with the bus. worker_priv is handed to
 * hvs_backend_ops.wake. Before hvs_vmbus_start() only.
 *
 * 0, -EINVAL (NULL), -EBUSY (the bus has started), -ENOMEM.
 */
HVS_API HVS_NODISCARD int hvs_worker_create(struct hvs_vmbus *bus, void *worker_priv,
					    struct hvs_worker **out);

/*
 * Run what is pending, at most `budget` units (about one packet each; 0: until idle).
 *
 * next_deadline_ns  when to call again at the latest, on the clock of now_ns; UINT64_MAX: only
 *                   when woken. May be NULL.
 *
 * 1: work is left, call again soon; 0: idle. Before hvs_vmbus_start() nothing runs: 0.
 */
HVS_API int hvs_worker_dispatch(struct hvs_worker *worker, unsigned budget,
				uint64_t *next_deadline_ns);

#ifdef __cplusplus
}
#endif
#endif
