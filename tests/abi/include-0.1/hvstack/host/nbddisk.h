/* SPDX-License-Identifier: MIT */
/*
 * Block back end: a disk that an NBD server has, through libnbd. Two ways:
 *
 *   uri    a server that somebody else runs
 *   image  a VHDX, VHD or qcow2 image: qemu-nbd (Debian: qemu-utils) is started for it, serves this
 *          disk alone, and ends when the disk is closed or this process does, however that ends
 *
 * Requests may come from any number of workers. Each disk has a thread of its own, which does the
 * I/O and completes the requests.
 */
#ifndef HVSTACK_HOST_NBDDISK_H
#define HVSTACK_HOST_NBDDISK_H

#include <hvstack/blockdev.h>
#include <hvstack/export.h>
#include <hvstack/types.h>

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct hvs_nbddisk; /* a disk of an NBD server */

#define HVS_NBDDISK_READ_ONLY 0x1u /* opened for reading; the guest can't write */

struct hvs_nbddisk_config {
	uint32_t size;
	uint32_t flags;  /* HVS_NBDDISK_* */
	const char *uri; /* nbd://HOST[:PORT]/[EXPORT], nbd+unix:///[EXPORT]?socket=PATH; or NULL */
	/* Or: path of a regular file or block device, and its format: "vhdx", "vpc" (VHD),
	 * "qcow2" or "raw". It is not guessed from what the guest may have written there. */
	const char *image;
	const char *format;
	/* 512 or 4096; 0: 512, or 4096 where the server has no smaller blocks. */
	uint32_t block_size;
	uint32_t open_timeout_ms; /* for hvs_nbddisk_open(); 0: 30000 */
	/* A server that leaves a request unanswered for so long is given up: this request and all
	 * others end with HVS_BLK_GONE. 0: never. A server on a host that has gone, or a network
	 * that has, is given up after a minute in any case. */
	uint32_t request_timeout_ms;
	/* Told, in one line without newline, what qemu-nbd has to say and why the server was lost.
	 * On the thread of the disk, and inside hvs_nbddisk_close(). May be NULL. */
	void (*log)(void *arg, const char *text);
	void *arg;
};
#define HVS_NBDDISK_CONFIG_INIT .size = (uint32_t)sizeof(struct hvs_nbddisk_config)

/*
 * Give it with the hvs_nbddisk to hvs_storvsp_attach().
 *
 * What the server offers is what get_info says: FUA, UNMAP (NBD's trim), WRITE_ZEROES, LBA_STATUS
 * (the context base:allocation). To unmap is a hint to an NBD server; the space comes back with
 * qcow2 and raw images, not with VHDX and VHD.
 *
 * A lost connection is not made again, since the server may have forgotten what was not flushed:
 * all requests, the outstanding ones too, complete with HVS_BLK_GONE. cancel() takes back what was
 * not sent yet (there are up to 64 requests with the server); for the rest the guest has to wait.
 */
HVS_API const struct hvs_blk_ops *hvs_nbddisk_ops(void);

/*
 * Open a disk: blocks until the server has answered, at most open_timeout_ms (and while the name
 * of a host is looked up). qemu-nbd locks the image against other writers. It gets no signal that
 * is meant for the terminal's foreground programs.
 *
 * why, why_len  when why_len is not 0: a text, with its NUL, that says what is wrong, on failure;
 *               cut if it is longer
 *
 * 0, or
 * -EINVAL     cfg; not a file or block device; not an image of this format, or a damaged one; a
 *             size that is 0 or no multiple of the block size; the URI
 * -ENOENT     no such image
 * -ENOEXEC    qemu-nbd is not installed
 * -EACCES     no permission to read or write the image
 * -EBUSY      the image is locked by somebody else
 * -EROFS      the server has it for reading only, and HVS_NBDDISK_READ_ONLY was not asked for
 * -ETIMEDOUT  no answer
 * -ENOTSUP    unknown members or flags set; the server's blocks are larger than block_size or
 *             4096; built without libnbd
 * -ENOMEM, -EMFILE, -ECONNREFUSED, or another errno of the connection.
 */
HVS_API HVS_NODISCARD int hvs_nbddisk_open(const struct hvs_nbddisk_config *cfg,
					   struct hvs_nbddisk **out, char *why, size_t why_len);

/*
 * Blocks until qemu-nbd has closed the image; what was not flushed is written, too. No request may
 * be in flight: the bus is reset or destroyed. NULL is allowed.
 */
HVS_API void hvs_nbddisk_close(struct hvs_nbddisk *disk);

/*
 * The format that the name of an image promises: "vhdx" (.vhdx), "vpc" (.vhd), "qcow2" (.qcow2),
 * and "raw" for all others (.img, .raw, .iso, block devices): for these, hvs_filedisk_open() is
 * the shorter way. Upper or lower case. A static string. [any]
 */
HVS_API const char *hvs_nbddisk_format(const char *path);

#ifdef __cplusplus
}
#endif
#endif
