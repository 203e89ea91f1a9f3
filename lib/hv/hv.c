/* SPDX-License-Identifier: MIT */
/* Life of a hypervisor interface. */
#include "hv/state.h"
#include "util/alloc.h"
#include "util/sized.h"

#include <errno.h>

#define MAX_VPS 4096u

static size_t hv_size(uint32_t vp_count)
{
	return sizeof(struct hvs_hv) + vp_count * sizeof(struct hvsi_synic);
}

static int check(const struct hvs_hv_config *cfg, const struct hvs_hv_ops *ops)
{
	if (cfg->flags & ~(HVS_HV_EXTERNAL_SINTS | HVS_HV_INVARIANT_TSC))
		return -ENOTSUP;
	if (!cfg->vp_count || cfg->vp_count > MAX_VPS || cfg->hypercall_port > 0xff ||
	    cfg->signal_port > 0xff || (cfg->signal_port && !cfg->hypercall_port) ||
	    !cfg->tsc_hz != !cfg->apic_hz)
		return -EINVAL;
	if (ops->reserved || !ops->interrupt || !ops->now_ns || !ops->post_message ||
	    !ops->signal_event)
		return -EINVAL;
	return 0;
}

int hvs_hv_create(const struct hvs_hv_config *cfg_in, struct hvs_mem *mem,
		  const struct hvs_hv_ops *ops_in, void *be, struct hvs_hv **out)
{
	struct hvs_hv_config cfg;
	struct hvs_hv_ops ops;
	struct hvs_hv *hv;
	int err;

	if (!mem || !out)
		return -EINVAL;
	err = HVSI_TAKE(&cfg, cfg_in, alloc);
	if (!err)
		err = HVSI_TAKE(&ops, ops_in, record);
	if (!err)
		err = check(&cfg, &ops);
	if (!err)
		err = hvsi_alloc_setup(&cfg.alloc, &cfg.alloc);
	if (err)
		return err;

	hv = hvsi_alloc(&cfg.alloc, hv_size(cfg.vp_count));
	if (!hv)
		return -ENOMEM;
	hv->cfg = cfg;
	hv->ops = ops;
	hv->be = be;
	hv->mem = mem;
	hv->start_ns = ops.now_ns(be);
	hvsi_spin_init(&hv->lock);
	hvs_hv_reset(hv);
	*out = hv;
	return 0;
}

void hvs_hv_destroy(struct hvs_hv *hv)
{
	struct hvs_allocator a;

	if (!hv)
		return;
	a = hv->cfg.alloc;
	hvsi_free(&a, hv, hv_size(hv->cfg.vp_count));
}

void hvs_hv_reset(struct hvs_hv *hv)
{
	atomic_store(&hv->guest_os_id, 0);
	hv->hypercall = 0;
	hv->reference_tsc = 0;
	hv->tsc_invariant = 0;
	hv->crash = (struct hvs_hv_crash){0};
	for (uint32_t i = 0; i < hv->cfg.vp_count; i++)
		hvsi_synic_reset(&hv->vp[i]);
}

uint64_t hvs_hv_guest_os_id(const struct hvs_hv *hv)
{
	return atomic_load(&hv->guest_os_id);
}
