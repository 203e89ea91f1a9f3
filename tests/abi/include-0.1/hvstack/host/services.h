/* SPDX-License-Identifier: MIT */
/*
 * All integration services of a machine, as most VMMs want them: offered, with the host's clock, the
 * table of key-value pairs kept in a file, and known to the management server. Whoever wants another
 * selection of parts uses ic.h, guestinfo.h and manager.h by themselves.
 *
 * [main worker] functions, as those of ic.h.
 */
#ifndef HVSTACK_HOST_SERVICES_H
#define HVSTACK_HOST_SERVICES_H

#include <hvstack/export.h>
#include <hvstack/ic.h>

#ifdef __cplusplus
extern "C" {
#endif

struct event_base; /* libevent */
struct hvs_guestinfo;
struct hvs_kvm;
struct hvs_manager;
struct hvs_services; /* the integration services of a machine */

/* The bit of a kind (enum hvs_ic_kind) in `services`. */
#define HVS_SERVICE(kind) (1u << (kind))
/* All but file copy, which Hyper-V does not offer either unless asked to. */
#define HVS_SERVICES_DEFAULT                                                                       \
	(HVS_SERVICE(HVS_IC_HEARTBEAT) | HVS_SERVICE(HVS_IC_KVP) | HVS_SERVICE(HVS_IC_SHUTDOWN) |  \
	 HVS_SERVICE(HVS_IC_TIMESYNC) | HVS_SERVICE(HVS_IC_VSS))
#define HVS_SERVICES_ALL (HVS_SERVICES_DEFAULT | HVS_SERVICE(HVS_IC_FILECOPY))

struct hvs_services_config {
	uint32_t size;
	uint32_t services;       /* HVS_SERVICE() bits to offer from the beginning */
	struct event_base *base; /* the one that dispatches the main worker; must outlive this */
	struct hvs_vmbus *bus;   /* must outlive this, as the services are devices of it */
	/* For the guest's reference counter; NULL: it is told the time without it, less precisely. */
	struct hvs_kvm *kvm;
	struct hvs_manager *manager; /* NULL: none */
	const char *path;            /* where pairs are kept (guestinfo.h); NULL: nowhere. Copied */
	const char *name;            /* of the machine, which the guest is told; NULL: it is not */
	struct hvs_guid uuid;        /* of the machine; the guest is told */
};
#define HVS_SERVICES_CONFIG_INIT .size = (uint32_t)sizeof(struct hvs_services_config)

/*
 * cfg is copied. why (of why_len bytes, may be NULL) gets a sentence if it fails.
 * 0, -EINVAL (NULL, unknown bits), -ENOTSUP (unknown members set), -ENOMEM, or what hvs_ic_create(),
 * hvs_guestinfo_create() and hvs_manager_add_ic() said.
 */
HVS_API HVS_NODISCARD int hvs_services_create(const struct hvs_services_config *cfg, char *why,
					      size_t why_len, struct hvs_services **out);

/* Before the manager and the base; the bus is gone, or was not started, or was reset. NULL is
 * allowed. */
HVS_API void hvs_services_destroy(struct hvs_services *s);

/* Offer a service, or take it away. 0 (also if it is so already), -EINVAL (no such kind), -EBUSY (it is
 * on its way out), or what hvs_ic_create() said. */
HVS_API HVS_NODISCARD int hvs_services_enable(struct hvs_services *s, enum hvs_ic_kind kind,
					      bool enabled);

/* NULL: it is not offered. */
HVS_API struct hvs_ic *hvs_services_get(const struct hvs_services *s, enum hvs_ic_kind kind);
HVS_API struct hvs_guestinfo *hvs_services_guestinfo(const struct hvs_services *s);

/* The machine goes on after a pause, or the host's clock was set: have the guest set its clock. */
HVS_API void hvs_services_time_jumped(struct hvs_services *s);

#ifdef __cplusplus
}
#endif
#endif
