/* SPDX-License-Identifier: MIT */
/* A capture of what passes the bus: control messages, packets and what they refer to. */
#ifndef HVRUN_BUS_CAPTURE_H
#define HVRUN_BUS_CAPTURE_H

#include <hvstack/host/capture.h>
#include <stdbool.h>

struct bus_capture;
struct hvs_vmbus;

#define BUS_CAPTURE_WHY 256

/* NULL: no memory. */
struct bus_capture *bus_capture_create(struct hvs_vmbus *bus);
/* After the bus, or before. NULL is allowed. */
void bus_capture_destroy(struct bus_capture *capture);

/* Begin one, instead of the one that may be under way. False: why. */
bool bus_capture_begin(struct bus_capture *capture, const struct hvs_capture_config *cfg,
		       char *why);
/* End it, while the bus is there. */
void bus_capture_end(struct bus_capture *capture);

/* False: there is none. */
bool bus_capture_counters(struct bus_capture *capture, struct hvs_capture_counters *counters);

#endif
