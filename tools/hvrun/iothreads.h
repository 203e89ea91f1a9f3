/* SPDX-License-Identifier: MIT */
/* Threads that do the I/O of sub-channels, besides the main one. */
#ifndef HVRUN_IOTHREADS_H
#define HVRUN_IOTHREADS_H

#include <stddef.h>

struct event_base;
struct hvs_vmbus;
struct hvs_worker;
struct iothreads;

/* Make count threads with a worker of the bus each; they run from iothreads_start() on. Returns an
 * exit status. */
int iothreads_create(struct hvs_vmbus *bus, size_t count, struct iothreads **out);
int iothreads_start(struct iothreads *threads);
/* The bus is reset: let them end. */
void iothreads_stop(struct iothreads *threads);
/* After the bus, and everything on their bases, is gone. NULL is allowed. */
void iothreads_destroy(struct iothreads *threads);

size_t iothreads_count(const struct iothreads *threads);
struct event_base *iothreads_base(const struct iothreads *threads, size_t index);
/* All of them; NULL: none. */
struct hvs_worker *const *iothreads_workers(const struct iothreads *threads);

#endif
