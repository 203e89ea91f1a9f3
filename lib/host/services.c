/* SPDX-License-Identifier: MIT */
/* The integration services of a machine and what they need of the host. */
#include "host/sized.h"

#include <hvstack/host/guestinfo.h>
#include <hvstack/host/kvm.h>
#include <hvstack/host/manager.h>
#include <hvstack/host/services.h>
#include <hvstack/host/timesample.h>
#include <hvstack/host/uuid.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#define KINDS (HVS_IC_FILECOPY + 1)

struct hvs_services {
	struct hvs_services_config cfg;
	struct hvs_guestinfo *guestinfo;
	struct hvs_ic *ic[KINDS]; /* by kind */
	bool leaving[KINDS];      /* what on_left() gets a pointer to */
};

/* ---- callbacks ---------------------------------------------------------------------------------- */

static void on_event(void *arg, struct hvs_ic *ic, enum hvs_ic_event event)
{
	struct hvs_services *s = arg;

	if (ic == s->ic[HVS_IC_KVP])
		hvs_guestinfo_ic_event(s->guestinfo, event);
	if (s->cfg.manager)
		hvs_manager_ic_event(s->cfg.manager, ic, event);
}

static int on_sample_time(void *arg, uint64_t *host_time, uint64_t *reference)
{
	const struct hvs_services *s = arg;

	return s->cfg.kvm ? hvs_kvm_sample_time(s->cfg.kvm, host_time, reference)
			  : hvs_timesample(NULL, NULL, host_time, reference);
}

static void on_changed(void *arg, enum hvs_kvp_pool pool, const char *key, const char *value)
{
	const struct hvs_services *s = arg;

	if (s->cfg.manager)
		hvs_manager_kvp_changed(s->cfg.manager, pool, key, value);
}

static void on_changes_end(void *arg, enum hvs_kvp_pool pool)
{
	const struct hvs_services *s = arg;

	if (s->cfg.manager)
		hvs_manager_kvp_changes_end(s->cfg.manager, pool);
}

/* ---- one service -------------------------------------------------------------------------------- */

static int offer(struct hvs_services *s, enum hvs_ic_kind kind)
{
	const struct hvs_ic_config cfg = {HVS_IC_CONFIG_INIT, .kind = kind,
					  .reference_time = kind == HVS_IC_TIMESYNC && s->cfg.kvm};
	const struct hvs_ic_ops ops = {HVS_IC_OPS_INIT, .event = on_event,
				       .sample_time =
					       kind == HVS_IC_TIMESYNC ? on_sample_time : NULL};
	struct hvs_ic *ic;
	int err = hvs_ic_create(s->cfg.bus, &cfg, &ops, s, &ic);

	if (err)
		return err;
	if (s->cfg.manager)
		err = hvs_manager_add_ic(s->cfg.manager, ic);
	if (err)
		return hvs_ic_destroy(ic, NULL, NULL) ? -EBUSY : err;
	s->ic[kind] = ic;
	if (kind == HVS_IC_KVP)
		hvs_guestinfo_set_ic(s->guestinfo, ic);
	return 0;
}

static void on_left(void *arg, int status)
{
	bool *leaving = arg;

	(void)status;
	*leaving = false;
}

static int withdraw(struct hvs_services *s, enum hvs_ic_kind kind, hvs_done_fn done, void *arg)
{
	struct hvs_ic *ic = s->ic[kind];

	if (kind == HVS_IC_KVP)
		hvs_guestinfo_set_ic(s->guestinfo, NULL);
	if (s->cfg.manager)
		hvs_manager_remove_ic(s->cfg.manager, kind);
	s->ic[kind] = NULL;
	return hvs_ic_destroy(ic, done, arg);
}

int hvs_services_enable(struct hvs_services *s, enum hvs_ic_kind kind, bool enabled)
{
	if (!s || (unsigned)kind >= KINDS || !(HVS_SERVICES_ALL & HVS_SERVICE(kind)))
		return -EINVAL;
	if (enabled == (s->ic[kind] != NULL))
		return 0;
	if (s->leaving[kind])
		return -EBUSY;
	if (enabled)
		return offer(s, kind);
	s->leaving[kind] = true;
	return withdraw(s, kind, on_left, &s->leaving[kind]);
}

struct hvs_ic *hvs_services_get(const struct hvs_services *s, enum hvs_ic_kind kind)
{
	return s && (unsigned)kind < KINDS ? s->ic[kind] : NULL;
}

struct hvs_guestinfo *hvs_services_guestinfo(const struct hvs_services *s)
{
	return s ? s->guestinfo : NULL;
}

void hvs_services_time_jumped(struct hvs_services *s)
{
	/* If it is not ready the guest is told when it is. */
	if (s && s->ic[HVS_IC_TIMESYNC])
		hvs_timesync_sync(s->ic[HVS_IC_TIMESYNC], 0, NULL, NULL);
}

/* ---- facts about the host ------------------------------------------------------------------------- */

static int tell(struct hvs_services *s, const char *key, const char *value)
{
	const char *known = hvs_guestinfo_get(s->guestinfo, HVS_KVP_AUTO_EXTERNAL, key);

	if (!value || !*value || (known && strcmp(known, value) == 0))
		return 0;
	return hvs_guestinfo_set(s->guestinfo, HVS_KVP_AUTO_EXTERNAL, key, value, NULL, NULL);
}

/* The keys that Hyper-V has in this pool, as far as they mean something here. */
static int tell_facts(struct hvs_services *s)
{
	struct utsname system;
	char id[HVS_GUID_TEXT];
	int err;

	if (uname(&system) < 0)
		return -errno;
	hvs_guid_format(&s->cfg.uuid, id);
	err = tell(s, "HostName", system.nodename);
	if (!err)
		err = tell(s, "PhysicalHostName", system.nodename);
	if (!err)
		err = tell(s, "PhysicalHostNameFullyQualified", system.nodename);
	if (!err)
		err = tell(s, "VirtualMachineName", s->cfg.name);
	if (!err)
		err = tell(s, "VirtualMachineId", id);
	return err;
}

/* ---- life ------------------------------------------------------------------------------------------- */

static int make_guestinfo(struct hvs_services *s, char *why, size_t why_len)
{
	const struct hvs_guestinfo_config cfg = {HVS_GUESTINFO_CONFIG_INIT, .base = s->cfg.base,
						 .path = s->cfg.path, .uuid = s->cfg.uuid};
	const struct hvs_guestinfo_ops ops = {HVS_GUESTINFO_OPS_INIT, .changed = on_changed,
					      .changes_end = on_changes_end};
	int err = hvs_guestinfo_create(&cfg, &ops, s, why, why_len, &s->guestinfo);

	if (err)
		return err;
	if (s->cfg.manager) {
		hvs_manager_set_guestinfo(s->cfg.manager, s->guestinfo);
		hvs_manager_set_bus(s->cfg.manager, s->cfg.bus);
	}
	return tell_facts(s);
}

int hvs_services_create(const struct hvs_services_config *cfg, char *why, size_t why_len,
			struct hvs_services **out)
{
	struct hvs_services *s;
	int err;

	if (why && why_len)
		*why = '\0';
	if (!out)
		return -EINVAL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	err = HVSI_HOST_TAKE(&s->cfg, cfg, uuid);
	if (!err && (!s->cfg.base || !s->cfg.bus || s->cfg.services & ~HVS_SERVICES_ALL))
		err = -EINVAL;
	if (!err)
		err = make_guestinfo(s, why, why_len);
	for (unsigned kind = 0; !err && kind < KINDS; kind++)
		if (s->cfg.services & HVS_SERVICE(kind))
			err = offer(s, (enum hvs_ic_kind)kind);
	if (!err) {
		*out = s;
		return 0;
	}
	for (unsigned kind = 0; kind < KINDS; kind++)
		if (s->ic[kind] && withdraw(s, (enum hvs_ic_kind)kind, NULL, NULL))
			break;
	hvs_services_destroy(s);
	return err;
}

void hvs_services_destroy(struct hvs_services *s)
{
	if (!s)
		return;
	for (unsigned kind = 0; s->cfg.manager && kind < KINDS; kind++)
		if (s->ic[kind])
			hvs_manager_remove_ic(s->cfg.manager, (enum hvs_ic_kind)kind);
	if (s->cfg.manager) {
		hvs_manager_set_guestinfo(s->cfg.manager, NULL);
		hvs_manager_set_bus(s->cfg.manager, NULL);
	}
	hvs_guestinfo_destroy(s->guestinfo);
	free(s);
}
