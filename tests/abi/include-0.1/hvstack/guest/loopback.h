/* SPDX-License-Identifier: MIT */
/*
 * Host and guest in one process, over plain memory: a machine of one VP whose SynIC, hypercalls
 * and MSRs are the library's own. Nothing runs by itself: the host does when the guest waits, or
 * when hvs_loopback_run() is called, so that everything happens in the same order every time.
 */
#ifndef HVSTACK_GUEST_LOOPBACK_H
#define HVSTACK_GUEST_LOOPBACK_H

#include <hvstack/guest/guest.h>
#include <hvstack/vmbus.h>

#ifdef __cplusplus
extern "C" {
#endif

struct hvs_loopback; /* host and guest in one process */

/* The hypervisor of the machine keeps synthetic MSRs itself: HVS_HV_EXTERNAL_SINTS. */
#define HVS_LOOPBACK_EXTERNAL_SINTS 0x1u

struct hvs_loopback_config {
	uint32_t size;
	uint32_t flags;             /* HVS_LOOPBACK_* */
	uint32_t max_version;       /* hvs_vmbus_config.max_version */
	uint32_t max_gpadls;        /* hvs_vmbus_config.max_gpadls */
	uint32_t max_gpadl_pages;   /* hvs_vmbus_config.max_gpadl_pages */
	size_t ram_bytes;           /* a multiple of 4096; 0: 16 MiB */
	struct hvs_allocator alloc; /* for everything; all NULL: malloc */
	/* The guest waits: let the host do something, with hvs_loopback_run() or _step().
	 * NULL: hvs_loopback_run(). */
	void (*on_wait)(void *arg, struct hvs_loopback *lb);
	void *arg;
};
#define HVS_LOOPBACK_CONFIG_INIT .size = (uint32_t)sizeof(struct hvs_loopback_config)

/* Library-owned. */
struct hvs_loopback_counters {
	uint64_t interrupts; /* host to guest */
	uint64_t hypercalls; /* guest to host */
	uint64_t faults;     /* protocol violations reported */
	uint32_t last_fault; /* enum hvs_fault_code */
	uint64_t wakes;      /* of workers */
};

/* cfg may be NULL. 0, -EINVAL, -ENOTSUP, -ENOMEM. */
HVS_API HVS_NODISCARD int hvs_loopback_create(const struct hvs_loopback_config *cfg,
					      struct hvs_loopback **out);
/* Resets the bus, waits for requests, frees everything; the guest end too. NULL is allowed. */
HVS_API void hvs_loopback_destroy(struct hvs_loopback *lb);

/* The host's side, for devices, memory and hypercalls of a test. They stay the loopback's. */
HVS_API struct hvs_vmbus *hvs_loopback_bus(struct hvs_loopback *lb);
HVS_API struct hvs_mem *hvs_loopback_mem(struct hvs_loopback *lb);
HVS_API struct hvs_hv *hvs_loopback_hv(struct hvs_loopback *lb);

/*
 * Start the bus and make the guest end. Offer devices before. 0, -EBUSY (started already), or as
 * hvs_guest_create().
 */
HVS_API HVS_NODISCARD int hvs_loopback_start(struct hvs_loopback *lb, struct hvs_guest **out);

/* Let the host run, all its workers (up to 16), until it is idle. */
HVS_API void hvs_loopback_run(struct hvs_loopback *lb);

/* Let it do a little: each worker at most about `budget` units. */
HVS_API void hvs_loopback_step(struct hvs_loopback *lb, unsigned budget);

/* Let time pass, ns nanoseconds. It does so by itself, 2 ms, whenever the guest waits. */
HVS_API void hvs_loopback_advance(struct hvs_loopback *lb, uint64_t ns);

/*
 * Replace the host by another one, as save and restore in another process do, while the guest
 * notices nothing: save, reset and free hypervisor interface and bus, make new ones, with `flags`
 * of hvs_loopback_config, have offer() offer the devices on the new bus, restore, start. What
 * hvs_loopback_bus() and hvs_loopback_hv() returned before is gone. Not from inside the host.
 *
 * 0, or what failed returned: the machine can only be destroyed then.
 */
HVS_API HVS_NODISCARD int hvs_loopback_replace_host(struct hvs_loopback *lb, uint32_t flags,
						    int (*offer)(void *arg, struct hvs_vmbus *bus),
						    void *arg);

/* What has happened until now; valid as long as the loopback. */
HVS_API const struct hvs_loopback_counters *hvs_loopback_count(const struct hvs_loopback *lb);

/* RAM of the machine: pages for the guest, as its own allocator gives them. NULL: none left. */
HVS_API void *hvs_loopback_alloc_pages(struct hvs_loopback *lb, size_t count, uint64_t *gpa);
HVS_API void hvs_loopback_free_pages(struct hvs_loopback *lb, void *pages, size_t count);

#ifdef __cplusplus
}
#endif
#endif
