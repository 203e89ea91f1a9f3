/* SPDX-License-Identifier: MIT */
#include "vsp/network/netvsp.h"
#include <errno.h>
int hvsi_net_save(struct hvs_channel *ch, void *ctx, struct hvs_state_writer *w)
{
	(void)ch; (void)ctx; (void)w;
	return -ENOTSUP;
}
int hvsi_net_restore(void *dev, struct hvs_channel *ch, const struct hvs_open_params *params,
		     struct hvs_state_reader *r, void **ctx)
{
	(void)dev; (void)ch; (void)params; (void)r; (void)ctx;
	return -ENOTSUP;
}
