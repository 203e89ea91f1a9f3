/* SPDX-License-Identifier: MIT */
/*
 * Saved state: what a machine's VMBus and hypervisor interface have to remember besides RAM, so
 * that the machine can go on later, in another process, with a newer library, with the other way
 * of doing the SynIC. docs/saved-state.md describes the format. Loading trusts nothing in it.
 *
 *   save      stop the VPs; let no worker be dispatched; hvs_hv_save(), hvs_vmbus_save(); RAM
 *             and VP registers are the embedder's. The machine may go on afterwards.
 *   restore   RAM and VP registers; create, offer the same devices; hvs_hv_restore(),
 *             hvs_vmbus_restore(), hvs_vmbus_start(); run the VPs
 *
 * What takes part: devices with save() and restore() (channel.h), as the SCSI controller of
 * storage.h. An open one without them leaves the guest and comes back.
 *
 * Requests in flight are saved by their devices, and done again after restore: whoever saves a
 * machine to run it elsewhere resets the bus of the old one first, so that its back ends are done.
 */
#ifndef HVSTACK_STATE_H
#define HVSTACK_STATE_H

#include <hvstack/export.h>
#include <hvstack/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Take len bytes of state, in order, mostly few at a time. 0 or a negative errno, which ends the
 * save with it. Called on the thread that saves.
 */
typedef int (*hvs_write_fn)(void *arg, const void *bytes, size_t len);

/*
 * Have write() take the state of a bus, and change nothing. No thread may be inside the library
 * meanwhile.
 *
 * 0, -EINVAL (NULL), -EBUSY (a reset is under way: wait for its end), what write() or a device's
 * save() returned.
 */
HVS_API HVS_NODISCARD int hvs_vmbus_save(struct hvs_vmbus *bus, hvs_write_fn write, void *arg);

/*
 * Bring a bus that has its devices and was not started to the state that was saved. Devices are
 * found by class_id and instance_id; what was offered and is not there any more is rescinded, what
 * is new is offered. state must be private memory.
 *
 * 0; on failure the bus is as before, but guest memory may have been written: -EINVAL (NULL),
 * -EBUSY (started, restored before, or with a device on its way out), -EBADMSG (not a saved state,
 * damaged, or contradicts itself), -ENOTSUP (of a newer library, another number of VPs, a version above max_version),
 * -ENOSPC (over max_gpadls, max_gpadl_pages or max_queued_messages), -EFAULT (names memory that is
 * not RAM), -ENOMEM, what a device's restore() returned.
 */
HVS_API HVS_NODISCARD int hvs_vmbus_restore(struct hvs_vmbus *bus, const void *state, size_t len);

/*
 * The same for the hypervisor interface: write() takes its state. VPs do not run.
 *
 * 0, -EINVAL (NULL; HVS_HV_EXTERNAL_SINTS without get_register() and set_register()), what write()
 * or get_register() returned.
 */
HVS_API HVS_NODISCARD int hvs_hv_save(struct hvs_hv *hv, hvs_write_fn write, void *arg);

/*
 * VPs do not run, but have their registers, the TSC above all: hvs_hv_ops.read_tsc may be called
 * for VP 0. So may slot_free, which needs the bus. If the state was saved with the other way of
 * doing the SynIC, no VP's instruction pointer may have been inside the hypercall page, whose
 * contents change.
 *
 * 0; on failure hv is as before: -EINVAL (as hvs_hv_save()), -EBADMSG, -ENOTSUP (another number of
 * VPs, or of a newer library), or what set_register() returned, when a part may have been set.
 */
HVS_API HVS_NODISCARD int hvs_hv_restore(struct hvs_hv *hv, const void *state, size_t len);

/* ---- for devices ------------------------------------------------------------------------ */

struct hvs_state_writer;
struct hvs_state_reader;

/*
 * In hvs_vsp_ops.save(): append to the device's state. 0, -EINVAL (4 GiB or more), or what write()
 * returned.
 */
HVS_API int hvs_state_put(struct hvs_state_writer *w, const void *bytes, size_t len);

/*
 * In hvs_vsp_ops.restore(): the next len bytes of what save() has put, however it was divided
 * there. 0, -EBADMSG (there are fewer; nothing is taken).
 */
HVS_API HVS_NODISCARD int hvs_state_get(struct hvs_state_reader *r, void *bytes, size_t len);

/*
 * In hvs_vsp_ops.save(): where the guest memory of a map is, in guest addresses. map may be NULL:
 * none. Returns as hvs_state_put().
 */
HVS_API int hvs_state_put_map(struct hvs_state_writer *w, struct hvs_channel *ch,
			      const struct hvs_map *map);

/*
 * In hvs_vsp_ops.restore(): what hvs_state_put_map() has put, as if a packet named it; NULL: none.
 * Whether it is RAM is seen when it is used. Free it with hvs_extents_free(), when no longer
 * needed and before hvs_channel_closed().
 *
 * 0, -EBADMSG (no such thing, or more than max_len bytes), -ENOMEM.
 */
HVS_API HVS_NODISCARD int hvs_state_get_extents(struct hvs_state_reader *r, struct hvs_channel *ch,
						uint32_t max_len, struct hvs_extents **out);
/* NULL is allowed. [worker] */
HVS_API void hvs_extents_free(struct hvs_extents *e);

#ifdef __cplusplus
}
#endif
#endif
