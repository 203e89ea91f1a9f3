/* SPDX-License-Identifier: MIT */
#include "bus_capture.h"

#include <hvstack/vmbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bus_capture {
	struct hvs_vmbus *bus;
	struct hvs_capture *file; /* NULL: none */
};

struct bus_capture *bus_capture_create(struct hvs_vmbus *bus)
{
	struct bus_capture *c = calloc(1, sizeof(*c));

	if (c)
		c->bus = bus;
	return c;
}

void bus_capture_destroy(struct bus_capture *capture)
{
	if (capture)
		hvs_capture_close(capture->file);
	free(capture);
}

void bus_capture_end(struct bus_capture *capture)
{
	(void)!hvs_vmbus_set_tap(capture->bus, NULL, NULL);
	hvs_capture_close(capture->file);
	capture->file = NULL;
}

bool bus_capture_begin(struct bus_capture *capture, const struct hvs_capture_config *cfg, char *why)
{
	int err;

	bus_capture_end(capture);
	err = hvs_capture_open(cfg, &capture->file);
	if (!err)
		err = hvs_vmbus_set_tap(capture->bus, hvs_capture_tap_ops(), capture->file);
	if (!err)
		return true;
	bus_capture_end(capture);
	snprintf(why, BUS_CAPTURE_WHY, "%s: %s", cfg->path, strerror(-err));
	return false;
}

bool bus_capture_counters(struct bus_capture *capture, struct hvs_capture_counters *counters)
{
	return capture->file && hvs_capture_get_counters(capture->file, counters) == 0;
}
