/* SPDX-License-Identifier: MIT */
/*
 * Where the persistent reservations of a disk are kept when several controllers, of one process or
 * of several, share it, or when they are to outlive the process. A disk without such a store keeps
 * them itself, for its one controller. Ready-made: host/reservation.h.
 *
 * A store keeps HVS_RESERVATION_BYTES that only the library reads and writes, and the number of
 * times they have changed. Bytes of zeros are a disk that nobody has registered with. The library
 * checks all it reads: a state that somebody has damaged makes commands fail, nothing worse.
 */
#ifndef HVSTACK_RESERVATION_H
#define HVSTACK_RESERVATION_H

#include <hvstack/export.h>
#include <hvstack/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HVS_RESERVATION_BYTES 8256u /* of a state */

struct hvs_reservation_ops {
	uint32_t size;
	uint32_t reserved; /* 0 */

	/*
	 * How many times the state has been stored, below 2^48. Asked before every command of the
	 * disk: a load from shared memory, no more. [any]
	 */
	uint64_t (*generation)(void *store);

	/*
	 * A copy of the state as it was stored last, and its generation. Must not wait for an
	 * update to end. [any]
	 *
	 * 0, or a negative errno.
	 */
	int (*read)(void *store, void *state, uint64_t *generation);

	/*
	 * One change after the other, whoever makes it: hand a copy of the state to change(). If
	 * that returns 1, store what it made of the copy, durably, with the next generation; all
	 * of it or, should the process or the host end meanwhile, nothing. [any]
	 *
	 * 0, what change() returned if that is negative, -ETIMEDOUT (others have kept the store
	 * busy too long; nothing has changed), or another negative errno.
	 */
	int (*update)(void *store, int (*change)(void *arg, void *state), void *arg);
};
#define HVS_RESERVATION_OPS_INIT .size = (uint32_t)sizeof(struct hvs_reservation_ops)

/*
 * For stores: nobody used the disk until now. Forget what was not meant to persist (APTPL).
 *
 * state  HVS_RESERVATION_BYTES
 *
 * 1 (changed), 0 (as it was), -EINVAL (NULL), -EBADMSG (this is no such state).
 */
HVS_API HVS_NODISCARD int hvs_reservation_power_on(void *state);

#ifdef __cplusplus
}
#endif
#endif
