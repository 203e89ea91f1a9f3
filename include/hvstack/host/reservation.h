/* SPDX-License-Identifier: MIT */
/*
 * Persistent reservations of a disk in a file, usually beside the disk: for disks that several VMs
 * share, in one process or several on the same host, and for reservations that outlive the process.
 *
 * The file has a fixed size, and two copies of the state, of which one is valid; which one changes
 * with a single store to memory that all processes share. So whoever is killed in the middle of a
 * change has made it or has not. As long as it is open anywhere, do not copy something over it or
 * truncate it. It must be on a file system of this host: not on NFS.
 */
#ifndef HVSTACK_HOST_RESERVATION_H
#define HVSTACK_HOST_RESERVATION_H

#include <hvstack/export.h>
#include <hvstack/reservation.h>
#include <hvstack/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct hvs_reservation_file;

/* Give it as hvs_disk_config.reservations, with the hvs_reservation_file. What update() stores is
 * on the disk when it returns; it waits up to 5 s for others who change the state. */
HVS_API const struct hvs_reservation_ops *hvs_reservation_file_ops(void);

/*
 * Open the file, or make one. One may serve several disks only if they are the same disk, on
 * different controllers. When nobody else has it open, reservations that were not meant to persist
 * (APTPL) are gone: that is what switching a disk on does.
 *
 * why  when not NULL: set to a static string that says what is wrong, on failure
 *
 * 0, -EINVAL (NULL; not a regular file), -EBADMSG (the file is damaged, or something else),
 * -ETIMEDOUT (others keep it locked), -ENOMEM, or the errno of open(), fcntl(), mmap(), read(),
 * write() or fsync().
 */
HVS_API HVS_NODISCARD int
hvs_reservation_file_open(const char *path, struct hvs_reservation_file **out, const char **why);

/* NULL is allowed. The disks it served are gone. */
HVS_API void hvs_reservation_file_close(struct hvs_reservation_file *file);

#ifdef __cplusplus
}
#endif
#endif
