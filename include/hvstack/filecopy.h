/* SPDX-License-Identifier: MIT */
/*
 * Guest file copy (the guest service interface): write a file in the guest, as its administrator. Offer
 * it only if that is wanted: Hyper-V does not by default, and a Linux 6.12 guest that has it can't
 * hibernate.
 *
 *   hvs_filecopy_start()    done with 0: the file is there, empty
 *   hvs_filecopy_write()    any number, each when the last is done; in order
 *   hvs_filecopy_finish()   done with 0: all is written
 *   hvs_filecopy_cancel()   instead: the guest is told to forget it
 *
 * One copy at a time. If a step fails, but for -EINVAL, the copy is over: the library has cancelled it
 * at the guest. All functions: [main worker], requests as in ic.h, -EINVAL for another kind.
 */
#ifndef HVSTACK_FILECOPY_H
#define HVSTACK_FILECOPY_H

#include <hvstack/ic.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HVS_FILECOPY_PIECE 6144u        /* bytes that a message of the wire carries */
#define HVS_FILECOPY_MAX_WRITE 1048576u /* bytes of one hvs_filecopy_write() */
#define HVS_FILECOPY_NAME_MAX 259u      /* UTF-16 units of the file's name, and of its directory */

#define HVS_FILECOPY_OVERWRITE 0x1u   /* replace a file of this name */
#define HVS_FILECOPY_CREATE_PATH 0x2u /* make directories that are missing */

struct hvs_filecopy_request {
	uint32_t size;
	uint32_t flags;        /* HVS_FILECOPY_OVERWRITE, HVS_FILECOPY_CREATE_PATH */
	uint64_t bytes;        /* how long the file will be */
	const char *directory; /* in the guest; UTF-8, absolute */
	const char *name;      /* of the file in it; UTF-8, without a separator */
	uint32_t timeout_ms;   /* for each answer of the guest; 0: 60,000 */
	uint32_t reserved;     /* 0 */
};
#define HVS_FILECOPY_REQUEST_INIT .size = (uint32_t)sizeof(struct hvs_filecopy_request)

/*
 * Begin. done with -EREMOTEIO: HVS_IC_E_EXISTS (there is one, and no HVS_FILECOPY_OVERWRITE), or
 * HVS_IC_E_FAIL (a directory is missing, or can't be written; no daemon).
 *
 * Some daemons of Linux 6.12 read names wrong that have characters outside of ASCII, or more than 130
 * of them; as nobody can tell which daemon is there, such names are refused with -EILSEQ.
 *
 * 0, -EINVAL (NULL, no such flag, an empty name, one with '/' or '\', not UTF-8, too long), -EILSEQ,
 * -ENOTSUP (unknown members set), -EBUSY (a copy is under way, or being cancelled), -ENOTCONN (not
 * ready).
 */
HVS_API HVS_NODISCARD int hvs_filecopy_start(struct hvs_ic *ic,
					     const struct hvs_filecopy_request *request,
					     hvs_ic_done_fn done, void *arg);

/*
 * The next len bytes of the file, 1 to HVS_FILECOPY_MAX_WRITE; data must stay until done. done with
 * -EREMOTEIO: HVS_IC_E_DISK_FULL, or HVS_IC_E_FAIL.
 *
 * 0, -EINVAL (NULL, len, or beyond `bytes` of the start), -EBUSY (the last step has not ended),
 * -ENOENT (no copy is under way).
 */
HVS_API HVS_NODISCARD int hvs_filecopy_write(struct hvs_ic *ic, const void *data, size_t len,
					     hvs_ic_done_fn done, void *arg);

/* 0, -EINVAL (not all bytes were written; the copy goes on), -EBUSY, -ENOENT. */
HVS_API HVS_NODISCARD int hvs_filecopy_finish(struct hvs_ic *ic, hvs_ic_done_fn done, void *arg);

/*
 * Give up, at once: done of a step under way runs with -ECANCELED. done (may be NULL) of this call with
 * -EREMOTEIO: the guest can't cancel, as Linux 6.12; what was written is left there, and the guest has
 * closed it. A cancel can't be withdrawn. 0, -EINVAL, -ENOENT.
 */
HVS_API int hvs_filecopy_cancel(struct hvs_ic *ic, hvs_ic_done_fn done, void *arg);

/* How far it is; all 0: no copy is under way. */
struct hvs_filecopy_progress {
	uint32_t size;
	uint32_t reserved;
	uint64_t bytes;   /* of the file */
	uint64_t written; /* that the guest has acknowledged */
};
#define HVS_FILECOPY_PROGRESS_INIT .size = (uint32_t)sizeof(struct hvs_filecopy_progress)

/* 0, -EINVAL. */
HVS_API HVS_NODISCARD int hvs_filecopy_get_progress(const struct hvs_ic *ic,
						    struct hvs_filecopy_progress *progress);

#ifdef __cplusplus
}
#endif
#endif
