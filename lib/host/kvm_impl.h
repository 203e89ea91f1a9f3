/* SPDX-License-Identifier: MIT */
/*
 * A VM on KVM from the inside. kvm.c wires the library's parts together; a "way" is what differs
 * with who keeps the SynIC: kvm_kernel.c (KVM does) and kvm_user.c (lib/hv does).
 */
#ifndef HVSI_HOST_KVM_IMPL_H
#define HVSI_HOST_KVM_IMPL_H

#include <hvstack/host/kvm.h>
#include <hvstack/host/loop.h>

#include <linux/kvm.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct hvsi_kvm_doorbell;

struct hvsi_kvm_vcpu {
	int fd;    /* the VMM's; -1 until hvs_kvm_vcpu_init() */
	int irqfd; /* kernel way: eventfd that fires the VMBus SINT; else -1 */
	uint32_t gsi;
};

/* Every function may use kvm->cfg; all but possible() run with the whole hvs_kvm made. */
struct hvsi_kvm_way {
	enum hvs_kvm_synic synic;
	/* Does this KVM have what is needed? */
	bool (*possible)(int vm_fd);
	/* VM-wide preparation, the last step of hvs_kvm_create(). 0 or a negative errno. */
	int (*setup)(struct hvs_kvm *kvm);
	/* Complete the configuration of lib/hv. -EINVAL: this way can't serve cfg. */
	int (*configure)(const struct hvs_kvm_config *cfg, struct hvs_hv_config *hv);
	/* vcpu[vp].fd is set. 0 or a negative errno; undoes what it did on failure. */
	int (*vcpu_init)(struct hvs_kvm *kvm, uint32_t vp);
	void (*vcpu_fini)(struct hvs_kvm *kvm, uint32_t vp);
	/* hvs_hv_ops.interrupt; be is the hvs_kvm. */
	void (*interrupt)(void *be, uint32_t vp, uint8_t sint, uint8_t vector);
	/* hvs_hv_ops.read_tsc; NULL: KVM makes the reference TSC page. */
	uint64_t (*read_tsc)(void *be, uint32_t vp);
	/* Have KVM signal fd, or no longer, when the guest signals connection_id with flag 0. */
	int (*doorbell)(struct hvs_kvm *kvm, uint32_t connection_id, int fd, bool on);
	/* As hvs_kvm_handle_exit(); vp is valid and its vcpu_init was called. */
	int (*handle_exit)(struct hvs_kvm *kvm, uint32_t vp, struct kvm_run *run);
	/* As hvs_kvm_reference_time(). */
	int (*reference_time)(struct hvs_kvm *kvm, uint64_t *reference);
	/* Reset values for the Hyper-V registers KVM keeps. 0 or a negative errno. */
	int (*reset)(struct hvs_kvm *kvm);
};

extern const struct hvsi_kvm_way hvsi_kvm_kernel;
extern const struct hvsi_kvm_way hvsi_kvm_user;

struct hvs_kvm {
	struct hvs_kvm_config cfg;
	const struct hvsi_kvm_way *way;
	struct hvs_mem *mem;
	struct hvs_hv *hv;
	struct hvs_vmbus *bus;
	struct hvs_loop *loop;               /* of the bus's main worker */
	struct hvsi_kvm_doorbell *doorbells; /* only on the main worker */
	_Atomic(uint64_t) guest_os_id;       /* kernel way: as a guest that calls has it */
	struct hvsi_kvm_vcpu vcpu[];         /* cfg.vcpu_count */
};

/* ioctl() that returns a negative errno. */
int hvsi_kvm_ioctl(int fd, unsigned long request, void *arg);
/* KVM_CHECK_EXTENSION: 0 is no. */
bool hvsi_kvm_has(int vm_fd, int cap);

/* hvs_backend_ops.doorbell_add and _del; be is the hvs_kvm. */
int hvsi_kvm_doorbell_add(void *be, uint32_t connection_id, struct hvs_channel *ch);
void hvsi_kvm_doorbell_del(void *be, uint32_t connection_id, struct hvs_channel *ch);
/* Those that the bus did not take back, if any; it is gone. */
void hvsi_kvm_doorbells_free(struct hvs_kvm *kvm);

#endif
