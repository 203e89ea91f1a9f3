/* SPDX-License-Identifier: MIT */
/* Opening and closing an NBD disk: finding a server, and finding out what it can do. */
#include <hvstack/host/nbddisk.h>

#include <string.h>
#include <strings.h>

const char *hvs_nbddisk_format(const char *path)
{
	const char *dot = path ? strrchr(path, '.') : NULL;

	if (dot && strcasecmp(dot, ".vhdx") == 0)
		return "vhdx";
	if (dot && strcasecmp(dot, ".vhd") == 0)
		return "vpc";
	if (dot && strcasecmp(dot, ".qcow2") == 0)
		return "qcow2";
	return "raw";
}

#if HVSI_WITH_LIBNBD

#include "host/nbddisk_impl.h"
#include "host/sized.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_OPEN_TIMEOUT_MS 30000u
#define LARGEST_BLOCK 4096u
#define MAX_PHYSICAL_BLOCK 65536u /* larger hints are about stripes, not blocks */
/* What a server has to take that says nothing about it. */
#define DEFAULT_MAX_PART (32u << 20)
/* A peer that is there answers the kernel's questions. */
#define DEAD_AFTER_MS 60000

static int check_config(struct hvs_nbddisk_config *cfg, const struct hvsi_why *why)
{
	static const char *const formats[] = {"vhdx", "vpc", "qcow2", "raw"};

	if (cfg->flags & ~HVS_NBDDISK_READ_ONLY)
		return hvsi_fail(why, ENOTSUP, "unknown flags in the configuration");
	if (!cfg->uri == !cfg->image || !cfg->image != !cfg->format)
		return hvsi_fail(
			why, EINVAL,
			"either uri, or image and format must be set in the configuration");
	if (cfg->block_size != 0 && cfg->block_size != 512 && cfg->block_size != 4096)
		return hvsi_fail(why, EINVAL, "block_size must be 512 or 4096");
	if (!cfg->open_timeout_ms)
		cfg->open_timeout_ms = DEFAULT_OPEN_TIMEOUT_MS;
	if (!cfg->format)
		return 0;
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (strcmp(cfg->format, formats[i]) == 0)
			return 0;
	return hvsi_fail(why, EINVAL, "the format must be vhdx, vpc, qcow2 or raw");
}

/* ---- the connection --------------------------------------------------------------------- */

/* What went wrong last, without the name of libnbd's function. */
static int fail_nbd(const struct hvsi_why *why, const char *what)
{
	const char *text = nbd_get_error();
	const int err = nbd_get_errno();
	const char *colon = text ? strstr(text, ": ") : NULL;

	return hvsi_fail(why, err > 0 ? err : EIO, "%s: %s", what,
			 colon  ? colon + 2
			 : text ? text
				: strerror(err > 0 ? err : EIO));
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int shake_hands(struct nbd_handle *nbd, uint32_t timeout_ms, const struct hvsi_why *why)
{
	const int64_t end = now_ms() + timeout_ms;

	while (!nbd_aio_is_ready(nbd)) {
		const int64_t left = end - now_ms();

		if (nbd_aio_is_dead(nbd) || nbd_aio_is_closed(nbd))
			return fail_nbd(why, "the NBD server can't be used");
		if (left <= 0)
			return hvsi_fail(why, ETIMEDOUT, "the NBD server does not answer");
		if (nbd_poll(nbd, left < INT32_MAX ? (int)left : INT32_MAX) < 0 &&
		    !nbd_aio_is_dead(nbd) && !nbd_aio_is_closed(nbd) && nbd_get_errno() != EINTR)
			return fail_nbd(why, "the NBD server can't be used");
	}
	return 0;
}

/* A TCP peer that has silently gone must not be waited for until the end of time. */
static void watch_peer(int fd)
{
	const int on = 1;
	const int idle = 30;
	const int interval = 10;
	const int tries = 3;
	const int timeout = DEAD_AFTER_MS;
	int domain = 0;
	socklen_t len = sizeof(domain);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 ||
	    (domain != AF_INET && domain != AF_INET6))
		return;
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &tries, sizeof(tries));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof(timeout));
}

static int connect_uri(struct hvs_nbddisk *disk, const struct hvs_nbddisk_config *cfg,
		       const struct hvsi_why *why)
{
	int err;

	if (nbd_aio_connect_uri(disk->nbd, cfg->uri) < 0)
		return fail_nbd(why, "can't connect to the NBD server");
	err = shake_hands(disk->nbd, cfg->open_timeout_ms, why);
	if (!err)
		watch_peer(nbd_aio_get_fd(disk->nbd));
	return err;
}

static int serve_image(struct hvs_nbddisk *disk, const struct hvs_nbddisk_config *cfg,
		       const struct hvsi_why *why)
{
	int fd = hvsi_nbd_server_start(&disk->server, cfg->image, cfg->format,
				       cfg->flags & HVS_NBDDISK_READ_ONLY, why);
	int err;

	if (fd < 0)
		return fd;
	/* From here on the descriptor is libnbd's. */
	err = nbd_aio_connect_socket(disk->nbd, fd) < 0
		      ? fail_nbd(why, "can't talk to qemu-nbd")
		      : shake_hands(disk->nbd, cfg->open_timeout_ms, why);
	if (err) {
		nbd_close(disk->nbd);
		disk->nbd = NULL;
		err = hvsi_nbd_server_failed(&disk->server, err, why);
	}
	return err;
}

static int make_handle(struct hvs_nbddisk *disk, const struct hvsi_why *why)
{
	disk->nbd = nbd_create();
	if (!disk->nbd)
		return hvsi_fail(why, ENOMEM, "out of memory");
	/* What libnbd would clear is guest memory, or zero already. */
	if (nbd_set_pread_initialize(disk->nbd, false) < 0 ||
	    nbd_add_meta_context(disk->nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) < 0)
		return fail_nbd(why, "libnbd can't be used");
	return 0;
}

/* ---- properties ------------------------------------------------------------------------- */

/* One of the server's limits; 0: it does not say. */
static uint64_t limit(struct hvs_nbddisk *disk, int type)
{
	const int64_t size = nbd_get_block_size(disk->nbd, type);

	return size > 0 ? (uint64_t)size : 0;
}

static int choose_block_size(struct hvs_nbddisk *disk, uint32_t wanted, const struct hvsi_why *why)
{
	const uint64_t smallest = limit(disk, LIBNBD_SIZE_MINIMUM);
	const uint64_t preferred = limit(disk, LIBNBD_SIZE_PREFERRED);
	uint64_t largest = limit(disk, LIBNBD_SIZE_MAXIMUM);

	if (smallest > LARGEST_BLOCK || (wanted && smallest > wanted))
		return hvsi_fail(why, ENOTSUP, "the server's smallest block has %llu bytes",
				 (unsigned long long)smallest);
	disk->block_size = wanted ? wanted : smallest > 512 ? LARGEST_BLOCK : 512;
	disk->physical_block_size = disk->block_size;
	if (preferred > disk->block_size && preferred <= MAX_PHYSICAL_BLOCK)
		disk->physical_block_size = (uint32_t)preferred;
	if (largest == 0 || largest > DEFAULT_MAX_PART)
		largest = DEFAULT_MAX_PART;
	disk->max_part = (uint32_t)(largest - largest % disk->block_size);
	if (disk->max_part == 0)
		return hvsi_fail(why, ENOTSUP, "the server takes at most %llu bytes",
				 (unsigned long long)largest);
	return 0;
}

static int measure(struct hvs_nbddisk *disk, const struct hvsi_why *why)
{
	const int64_t len = nbd_get_size(disk->nbd);

	if (len < 0)
		return fail_nbd(why, "the size of the disk can't be found out");
	disk->len = (uint64_t)len;
	if (len == 0)
		return hvsi_fail(why, EINVAL, "the disk is empty");
	if (disk->len % disk->block_size)
		return hvsi_fail(why, EINVAL,
				 "the size of the disk, %llu bytes, is not a multiple of the "
				 "block size %u",
				 (unsigned long long)disk->len, disk->block_size);
	return 0;
}

static int find_abilities(struct hvs_nbddisk *disk, bool read_only, const struct hvsi_why *why)
{
	struct nbd_handle *nbd = disk->nbd;

	if (nbd_can_meta_context(nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) > 0)
		disk->info_flags |= HVS_BLK_INFO_LBA_STATUS;
	if (read_only) {
		disk->info_flags |= HVS_BLK_INFO_READ_ONLY;
		return 0;
	}
	if (nbd_is_read_only(nbd) > 0)
		return hvsi_fail(why, EROFS,
				 "the server has it for reading only: attach the disk "
				 "read-only");
	disk->can_flush = nbd_can_flush(nbd) > 0;
	if (disk->can_flush)
		disk->info_flags |= HVS_BLK_INFO_WRITE_BACK;
	if (nbd_can_fua(nbd) > 0)
		disk->info_flags |= HVS_BLK_INFO_FUA;
	if (nbd_can_trim(nbd) > 0)
		disk->info_flags |= HVS_BLK_INFO_UNMAP;
	if (nbd_can_zero(nbd) > 0)
		disk->info_flags |= HVS_BLK_INFO_WRITE_ZEROES;
	return 0;
}

/* ---- the thread ------------------------------------------------------------------------- */

static int start_thread(struct hvs_nbddisk *disk)
{
	sigset_t all;
	sigset_t before;
	int err;

	/* The program's signals are for its own threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&disk->thread, NULL, hvsi_nbddisk_run, disk);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -err;
}

static void stop_thread(struct hvs_nbddisk *disk)
{
	pthread_mutex_lock(&disk->lock);
	disk->stop = true;
	pthread_mutex_unlock(&disk->lock);
	hvsi_nbddisk_kick(disk);
	pthread_join(disk->thread, NULL);
}

/* ---- public ----------------------------------------------------------------------------- */

static struct hvs_nbddisk *make_disk(const struct hvs_nbddisk_config *cfg)
{
	struct hvs_nbddisk *disk = calloc(1, sizeof(*disk));

	if (!disk)
		return NULL;
	disk->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (disk->kick < 0) {
		free(disk);
		return NULL;
	}
	disk->server.said_fd = -1;
	disk->log = cfg->log;
	disk->log_arg = cfg->arg;
	disk->request_timeout_ns = (uint64_t)cfg->request_timeout_ms * 1000000u;
	pthread_mutex_init(&disk->lock, NULL);
	for (unsigned i = 0; i < HVSI_NBD_DEPTH; i++) {
		disk->ios[i].next = disk->free_ios;
		disk->free_ios = &disk->ios[i];
	}
	return disk;
}

/* The thread does not run, or not any more. */
static void destroy(struct hvs_nbddisk *disk)
{
	nbd_close(disk->nbd);
	if (disk->server.pid)
		hvsi_nbd_server_wait(&disk->server, disk->log, disk->log_arg);
	pthread_mutex_destroy(&disk->lock);
	close(disk->kick);
	free(disk);
}

int hvs_nbddisk_open(const struct hvs_nbddisk_config *cfg_in, struct hvs_nbddisk **out, char *text,
		     size_t text_len)
{
	const struct hvsi_why why = {.text = text, .len = text ? text_len : 0};
	struct hvs_nbddisk_config cfg;
	struct hvs_nbddisk *disk;
	bool read_only;
	int err;

	err = hvsi_took_config(&why, HVSI_HOST_TAKE(&cfg, cfg_in, arg), out);
	if (!err)
		err = check_config(&cfg, &why);
	if (err)
		return err;
	disk = make_disk(&cfg);
	if (!disk)
		return hvsi_fail(&why, errno, "%s", strerror(errno));
	read_only = cfg.flags & HVS_NBDDISK_READ_ONLY;

	err = make_handle(disk, &why);
	if (!err)
		err = cfg.uri ? connect_uri(disk, &cfg, &why) : serve_image(disk, &cfg, &why);
	if (!err)
		err = choose_block_size(disk, cfg.block_size, &why);
	if (!err)
		err = measure(disk, &why);
	if (!err)
		err = find_abilities(disk, read_only, &why);
	if (!err) {
		err = start_thread(disk);
		if (err)
			hvsi_fail(&why, -err, "no thread: %s", strerror(-err));
	}
	if (err) {
		destroy(disk);
		return err;
	}
	*out = disk;
	return 0;
}

void hvs_nbddisk_close(struct hvs_nbddisk *disk)
{
	if (!disk)
		return;
	stop_thread(disk);
	/* Politely, if there is room for it in the socket; closing it says the same. */
	if (!disk->gone)
		(void)nbd_aio_disconnect(disk->nbd, 0);
	destroy(disk);
}

#else

#include <errno.h>
#include <stdio.h>

int hvs_nbddisk_open(const struct hvs_nbddisk_config *cfg, struct hvs_nbddisk **out, char *why,
		     size_t why_len)
{
	(void)cfg;
	(void)out;
	if (why && why_len)
		(void)snprintf(why, why_len, "this library was built without libnbd");
	return -ENOTSUP;
}

void hvs_nbddisk_close(struct hvs_nbddisk *disk)
{
	(void)disk;
}

const struct hvs_blk_ops *hvs_nbddisk_ops(void)
{
	static const struct hvs_blk_ops ops = {HVS_BLK_OPS_INIT};

	return &ops;
}

#endif
