/* SPDX-License-Identifier: MIT */
/*
 * Volume shadow copy requestor: the guest brings its file systems into a consistent state and stops
 * writing, while the host takes a copy of its disks at that point in time.
 *
 *   hvs_vss_check()     can it?
 *   hvs_vss_freeze()    done with 0: nothing is written any more
 *                       take the point in time: milliseconds
 *   hvs_vss_thaw()      it goes on
 *   hvs_vss_complete()  the backup is done
 *
 * A frozen guest hangs at its next write. So the library thaws it, whoever has forgotten to: when the
 * hold time is over, when the freeze fails or is not answered in time, when the requester is cancelled
 * (hvs_ic_cancel()), when the service is destroyed, and after a restore: a saved state of a frozen
 * guest is of little use, save a machine thawed. A thaw that fails is tried again, three times in all;
 * then HVS_IC_EVENT_MAY_BE_FROZEN follows. HVS_IC_EVENT_THAWED_LATE says that the library has thawed a
 * guest that somebody took for frozen: after the hold time, after a restore, or after that other event.
 *
 * All functions: [main worker], requests as in ic.h, -EINVAL for another kind. Linux without
 * hv_vss_daemon answers check, freeze and thaw with HVS_IC_E_FAIL.
 */
#ifndef HVSTACK_VSS_H
#define HVSTACK_VSS_H

#include <hvstack/ic.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HVS_VSS_HOLD_MS 10000u /* writers in a guest wait no longer than that */

/* Numbers of hvs_vss_check()'s flags: bits whose meaning is not documented, but for: */
#define HVS_VSS_NO_AUTO_RECOVER 0x4u /* the copy must not be recovered by the guest */

/* Where the service is between two freezes. */
enum hvs_vss_state {
	HVS_VSS_IDLE = 0,
	HVS_VSS_FREEZING = 1, /* asked to, not answered */
	HVS_VSS_FROZEN = 2,
	HVS_VSS_THAWING = 3, /* asked to, not answered */
	HVS_VSS_UNKNOWN = 4, /* thaw has failed */
};

/* [main worker]; HVS_VSS_IDLE for another kind of service. */
HVS_API enum hvs_vss_state hvs_vss_get_state(const struct hvs_ic *ic);

/* flags is valid if status is 0. */
typedef void (*hvs_vss_check_fn)(void *arg, int status, uint32_t guest_status, uint32_t flags);

/* Can the guest be backed up now? timeout_ms 0: 35,000.
 * 0, -EINVAL, -EBUSY (not idle), -ENOTCONN, -ENOSPC, -ENOMEM. */
HVS_API HVS_NODISCARD int hvs_vss_check(struct hvs_ic *ic, uint32_t timeout_ms,
					hvs_vss_check_fn done, void *arg);

/* A disk of the guest, by its place. Layout fixed. */
struct hvs_vss_lun {
	struct hvs_guid controller; /* instance GUID of the SCSI controller */
	uint8_t port;               /* of the controller */
	uint8_t target;             /* on it */
	uint8_t lun;
	uint8_t reserved; /* 0 */
};
#define HVS_VSS_MAX_LUNS 260u /* of one request */

struct hvs_vss_freeze_request {
	uint32_t size;
	uint32_t timeout_ms; /* for the guest to freeze; 0: 60,000; at most 960,000 */
	uint32_t hold_ms;   /* it is thawed by itself after that; 0: HVS_VSS_HOLD_MS, the largest */
	uint32_t lun_count; /* 0: all; Linux always freezes all. At most HVS_VSS_MAX_LUNS */
	const struct hvs_vss_lun *luns;
};
#define HVS_VSS_FREEZE_REQUEST_INIT .size = (uint32_t)sizeof(struct hvs_vss_freeze_request)

/*
 * done with 0: the guest is frozen. With any other status, the library is thawing it as it may be
 * frozen all the same. -ECANCELED: hvs_vss_thaw() or hvs_ic_cancel() came first; the latter also thaws
 * a guest that was frozen with this arg.
 *
 * 0, -EINVAL (NULL, out of range), -ENOTSUP (unknown members set; the guest speaks less than 5.0),
 * -EBUSY (not idle), -ENOTCONN (not ready), -ENOSPC, -ENOMEM.
 */
HVS_API HVS_NODISCARD int hvs_vss_freeze(struct hvs_ic *ic,
					 const struct hvs_vss_freeze_request *request,
					 hvs_ic_done_fn done, void *arg);

/*
 * Let the guest go on; before all requests that wait. During a freeze: as soon as that is answered.
 * done (may be NULL) with 0: it has gone on; with -EREMOTEIO, -ETIMEDOUT: it may still be frozen. While
 * the library is thawing it by itself, done tells how that ends. In state HVS_VSS_UNKNOWN: try again.
 * timeout_ms 0: 35,000, for each of three tries. A thaw can't be cancelled.
 *
 * 0, -EINVAL, -EALREADY (idle: there is nothing to thaw; the library has, if the hold time was over),
 * -ENOTCONN, -ENOMEM.
 */
HVS_API int hvs_vss_thaw(struct hvs_ic *ic, uint32_t timeout_ms, hvs_ic_done_fn done, void *arg);

/* Tell the guest that the backup is complete. FreeBSD does not answer: timeout_ms 0 is 5,000, after
 * which it is done with -ETIMEDOUT and the next request is sent. Once it is sent it can't be cancelled.
 * 0, -EINVAL, -EBUSY (not idle), -ENOTCONN, -ENOSPC, -ENOMEM. */
HVS_API HVS_NODISCARD int hvs_vss_complete(struct hvs_ic *ic, uint32_t timeout_ms,
					   hvs_ic_done_fn done, void *arg);

/*
 * Have the guest recover the copies of its disks: shadows[i] is the copy of luns[i], visible to the
 * guest. Not for guests whose check said HVS_VSS_NO_AUTO_RECOVER, as Linux. timeout_ms 0: 960,000.
 * 0, -EINVAL, -EMSGSIZE (the guest's ring is too small for it), -EBUSY (not idle), -ENOTCONN,
 * -ENOTSUP (the guest speaks less than 5.0), -ENOSPC, -ENOMEM.
 */
HVS_API HVS_NODISCARD int hvs_vss_auto_recover(struct hvs_ic *ic, const struct hvs_vss_lun *luns,
					       const struct hvs_vss_lun *shadows, uint32_t count,
					       uint32_t timeout_ms, hvs_ic_done_fn done, void *arg);

#ifdef __cplusplus
}
#endif
#endif
