/* SPDX-License-Identifier: MIT */
/*
 * Doorbells: KVM turns a guest's HvSignalEvent into a signal of an eventfd, without an exit to
 * the VMM. The eventfd belongs to the main worker's loop, which kicks the channel.
 */
#include "host/kvm_impl.h"
#include "host/notify.h"

#include <errno.h>
#include <hvstack/channel.h>
#include <stdlib.h>

struct hvsi_kvm_doorbell {
	struct hvsi_notify notify;
	struct hvs_channel *ch;
	uint32_t connection_id;
	struct hvsi_kvm_doorbell *next;
};

static void on_ring(void *arg)
{
	struct hvsi_kvm_doorbell *bell = arg;

	hvs_channel_kick(bell->ch);
}

int hvsi_kvm_doorbell_add(void *be, uint32_t connection_id, struct hvs_channel *ch)
{
	struct hvs_kvm *kvm = be;
	struct hvsi_kvm_doorbell *bell = calloc(1, sizeof(*bell));
	int err;

	if (!bell)
		return -ENOMEM;
	bell->ch = ch;
	bell->connection_id = connection_id;
	err = hvsi_notify_init(&bell->notify, kvm->cfg.base, on_ring, bell);
	if (err)
		goto fail_free;
	/* May fail for good reason, for example -ENOSPC at the 1,000th: then signals exit to us. */
	err = kvm->way->doorbell(kvm, connection_id, bell->notify.fd, true);
	if (err)
		goto fail_notify;
	bell->next = kvm->doorbells;
	kvm->doorbells = bell;
	return 0;

fail_notify:
	hvsi_notify_fini(&bell->notify);
fail_free:
	free(bell);
	return err;
}

void hvsi_kvm_doorbell_del(void *be, uint32_t connection_id, struct hvs_channel *ch)
{
	struct hvs_kvm *kvm = be;
	struct hvsi_kvm_doorbell **link = &kvm->doorbells;
	struct hvsi_kvm_doorbell *bell;

	while (*link && ((*link)->connection_id != connection_id || (*link)->ch != ch))
		link = &(*link)->next;
	bell = *link;
	if (!bell)
		return;
	*link = bell->next;
	/*
	 * KVM forgets the eventfd, and the event, even if it is due, is not delivered any more:
	 * this is the thread of its base.
	 */
	(void)kvm->way->doorbell(kvm, connection_id, bell->notify.fd, false);
	hvsi_notify_fini(&bell->notify);
	free(bell);
}

void hvsi_kvm_doorbells_free(struct hvs_kvm *kvm)
{
	while (kvm->doorbells)
		hvsi_kvm_doorbell_del(kvm, kvm->doorbells->connection_id, kvm->doorbells->ch);
}
