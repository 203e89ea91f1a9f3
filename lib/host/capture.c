/* SPDX-License-Identifier: MIT */
/*
 * A capture file in pcapng: a section header, one interface, a packet block for each frame, and
 * statistics at the end. Blocks are made in a buffer that all queues share; a thread writes what is
 * in it. There are two buffers, so that it writes one while the other fills.
 */
#include <hvstack/host/capture.h>

#include "host/net_io.h"
#include "host/sized.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_BUFFER (4u << 20)
#define MIN_BUFFER (128u << 10)
#define MIN_PACKET 64u
#define MAX_NAME 64u
#define TAG_BYTES 4u
#define ADDRESSES_BYTES 12u
#define NS_PER_S 1000000000u

#define BLOCK_SECTION 0x0a0d0d0au
#define BLOCK_INTERFACE 1u
#define BLOCK_STATISTICS 5u
#define BLOCK_PACKET 6u
#define BYTE_ORDER_MAGIC 0x1a2b3c4du
#define LINK_ETHERNET 1u
#define OPTION_END 0u         /* has no length */
#define OPTION_APPLICATION 4u /* of the section */
#define OPTION_NAME 2u        /* of the interface */
#define OPTION_RESOLUTION 9u
#define OPTION_FLAGS 2u /* of a packet */
#define OPTION_DROPS 4u
#define OPTION_RECEIVED 4u /* of the statistics */
#define OPTION_DROPPED 5u
#define FLAG_INBOUND 1u
#define FLAG_OUTBOUND 2u
/* Of a packet block, without the packet: head, two options and their end, tail. */
#define PACKET_OVERHEAD (28u + 8u + 12u + 4u + 4u)

struct buffer {
	uint8_t *bytes;
	uint32_t used;
};

struct hvs_capture {
	int fd;
	uint32_t max_packet;
	uint32_t buffer_bytes;
	uint64_t max_bytes;
	pthread_t thread;
	struct buffer writing; /* the thread's */

	pthread_mutex_t lock; /* all of the following */
	pthread_cond_t work;
	struct buffer filling;
	struct hvs_capture_counters counters; /* bytes: also those not written yet */
	uint64_t dropped_before;              /* the last frame */
	bool waiting;                         /* the thread, for work */
	bool stop;
};

/* ---- blocks ----------------------------------------------------------------------------- */

static uint32_t padded(uint32_t len)
{
	return (len + 3) / 4 * 4;
}

static void put(struct buffer *b, const void *bytes, uint32_t len)
{
	memcpy(b->bytes + b->used, bytes, len);
	memset(b->bytes + b->used + len, 0, padded(len) - len);
	b->used += padded(len);
}

static void put32(struct buffer *b, uint32_t value)
{
	put(b, &value, sizeof(value));
}

static void put_option(struct buffer *b, uint16_t code, const void *bytes, uint16_t len)
{
	const uint16_t head[2] = {code, len};

	put(b, head, sizeof(head));
	put(b, bytes, len);
}

/* Returns where it begins, for end_block(). */
static uint32_t begin_block(struct buffer *b, uint32_t type)
{
	const uint32_t at = b->used;

	put32(b, type);
	put32(b, 0);
	return at;
}

static void end_block(struct buffer *b, uint32_t at)
{
	const uint32_t len = b->used + 4 - at;

	memcpy(b->bytes + at + 4, &len, sizeof(len));
	put32(b, len);
}

static void put_head(struct buffer *b, const char *name, uint32_t max_packet)
{
	static const char application[] = "libhvstack";
	const uint16_t version[2] = {1, 0};
	const int64_t unknown_len = -1;
	const uint16_t link[2] = {LINK_ETHERNET, 0};
	const uint8_t nanoseconds = 9;
	uint32_t at = begin_block(b, BLOCK_SECTION);

	put32(b, BYTE_ORDER_MAGIC);
	put(b, version, sizeof(version));
	put(b, &unknown_len, sizeof(unknown_len));
	put_option(b, OPTION_APPLICATION, application, sizeof(application) - 1);
	put32(b, OPTION_END);
	end_block(b, at);

	at = begin_block(b, BLOCK_INTERFACE);
	put(b, link, sizeof(link));
	put32(b, max_packet);
	if (name)
		put_option(b, OPTION_NAME, name, (uint16_t)strlen(name));
	put_option(b, OPTION_RESOLUTION, &nanoseconds, 1);
	put32(b, OPTION_END);
	end_block(b, at);
}

static void put_time(struct buffer *b)
{
	struct timespec ts;
	uint64_t ns;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	ns = (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
	put32(b, (uint32_t)(ns >> 32));
	put32(b, (uint32_t)ns);
}

/* The frame's first `max` bytes, with its tag among them. */
static uint32_t copy_tagged(uint8_t *to, const struct hvs_net_frame *frame, uint32_t max)
{
	const uint8_t tag[TAG_BYTES] = {0x81, 0x00, (uint8_t)(frame->vlan_tci >> 8),
					(uint8_t)frame->vlan_tci};
	uint32_t len;

	if (!(frame->flags & HVS_NET_VLAN))
		return hvsi_frame_gather(frame, to, max);
	len = hvsi_frame_gather(frame, to, max - TAG_BYTES);
	if (len < ADDRESSES_BYTES)
		return len;
	memmove(to + ADDRESSES_BYTES + TAG_BYTES, to + ADDRESSES_BYTES, len - ADDRESSES_BYTES);
	memcpy(to + ADDRESSES_BYTES, tag, TAG_BYTES);
	return len + TAG_BYTES;
}

/* There is room for it. */
static void put_packet(struct buffer *b, const struct hvs_net_frame *frame, bool to_guest,
		       uint32_t max_packet, uint64_t dropped_before)
{
	const uint32_t flags = to_guest ? FLAG_INBOUND : FLAG_OUTBOUND;
	const uint32_t at = begin_block(b, BLOCK_PACKET);
	uint32_t lens_at;
	uint32_t lens[2]; /* in the file, of the frame */

	put32(b, 0); /* the interface */
	put_time(b);
	lens_at = b->used;
	b->used += sizeof(lens);
	lens[0] = copy_tagged(b->bytes + b->used, frame, max_packet);
	lens[1] = frame->len + (frame->flags & HVS_NET_VLAN ? TAG_BYTES : 0);
	if (lens[1] < lens[0])
		lens[1] = lens[0];
	memcpy(b->bytes + lens_at, lens, sizeof(lens));
	memset(b->bytes + b->used + lens[0], 0, padded(lens[0]) - lens[0]);
	b->used += padded(lens[0]);
	put_option(b, OPTION_FLAGS, &flags, sizeof(flags));
	if (dropped_before)
		put_option(b, OPTION_DROPS, &dropped_before, sizeof(dropped_before));
	put32(b, OPTION_END);
	end_block(b, at);
}

static void put_statistics(struct buffer *b, const struct hvs_capture_counters *counters)
{
	const uint64_t received = counters->frames + counters->dropped;
	const uint32_t at = begin_block(b, BLOCK_STATISTICS);

	put32(b, 0); /* the interface */
	put_time(b);
	put_option(b, OPTION_RECEIVED, &received, sizeof(received));
	put_option(b, OPTION_DROPPED, &counters->dropped, sizeof(counters->dropped));
	put32(b, OPTION_END);
	end_block(b, at);
}

/* ---- frames ----------------------------------------------------------------------------- */

static void capture_frame(void *arg, uint32_t queue, bool to_guest,
			  const struct hvs_net_frame *frame)
{
	const uint32_t tag = frame->flags & HVS_NET_VLAN ? TAG_BYTES : 0;
	struct hvs_capture *c = arg;
	uint32_t most = frame->len + tag;
	uint32_t before;
	bool wake = false;

	(void)queue;
	if (most > c->max_packet)
		most = c->max_packet;
	most = padded(most) + PACKET_OVERHEAD;
	pthread_mutex_lock(&c->lock);
	before = c->filling.used;
	if (c->counters.error || before > c->buffer_bytes || most > c->buffer_bytes - before ||
	    (c->max_bytes &&
	     (c->counters.bytes > c->max_bytes || most > c->max_bytes - c->counters.bytes))) {
		c->counters.dropped++;
		c->dropped_before++;
	} else {
		put_packet(&c->filling, frame, to_guest, c->max_packet, c->dropped_before);
		c->dropped_before = 0;
		c->counters.frames++;
		c->counters.bytes += c->filling.used - before;
		wake = c->waiting;
		c->waiting = false;
	}
	pthread_mutex_unlock(&c->lock);
	if (wake)
		pthread_cond_signal(&c->work);
}

const struct hvs_net_monitor_ops *hvs_capture_ops(void)
{
	static const struct hvs_net_monitor_ops ops = {
		HVS_NET_MONITOR_OPS_INIT,
		.frame = capture_frame,
	};

	return &ops;
}

/* ---- the thread ------------------------------------------------------------------------- */

/* 0 or an errno. */
static int write_all(int fd, const struct buffer *b)
{
	uint32_t done = 0;

	while (done < b->used) {
		ssize_t n = write(fd, b->bytes + done, b->used - done);

		if (n < 0 && errno != EINTR)
			return errno;
		if (n > 0)
			done += (uint32_t)n;
	}
	return 0;
}

static void *run(void *arg)
{
	struct hvs_capture *c = arg;
	int err = 0;

	pthread_mutex_lock(&c->lock);
	for (;;) {
		struct buffer full;

		while (!c->filling.used && !c->stop) {
			c->waiting = true;
			pthread_cond_wait(&c->work, &c->lock);
		}
		if (!c->filling.used)
			break;
		full = c->filling;
		c->filling = c->writing;
		c->filling.used = 0;
		c->writing = full;
		pthread_mutex_unlock(&c->lock);
		if (!err)
			err = write_all(c->fd, &full);
		pthread_mutex_lock(&c->lock);
		c->counters.error = err;
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

static int start_thread(struct hvs_capture *c)
{
	sigset_t all;
	sigset_t before;
	int err;

	/* The program's signals are for its own threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&c->thread, NULL, run, c);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -err;
}

/* ---- opening ---------------------------------------------------------------------------- */

static int open_file(struct hvs_capture *c, const struct hvs_capture_config *cfg)
{
	struct stat st;

	/* Not to wait for the other end of a FIFO. */
	c->fd = open(cfg->path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
	if (c->fd < 0)
		return errno == ENXIO ? -EINVAL : -errno;
	if (fstat(c->fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	return ftruncate(c->fd, 0) < 0 ? -errno : 0;
}

static int begin(struct hvs_capture *c, const struct hvs_capture_config *cfg)
{
	int err = open_file(c, cfg);

	if (err)
		return err;
	put_head(&c->filling, cfg->name, c->max_packet);
	err = -write_all(c->fd, &c->filling);
	c->counters.bytes = c->filling.used;
	c->filling.used = 0;
	return err ? err : start_thread(c);
}

static void destroy(struct hvs_capture *c)
{
	if (c->fd >= 0)
		close(c->fd);
	pthread_mutex_destroy(&c->lock);
	pthread_cond_destroy(&c->work);
	free(c->filling.bytes);
	free(c->writing.bytes);
	free(c);
}

int hvs_capture_open(const struct hvs_capture_config *cfg_in, struct hvs_capture **out)
{
	struct hvs_capture_config cfg;
	struct hvs_capture *c;
	int err = HVSI_HOST_TAKE(&cfg, cfg_in, reserved);

	if (err || !out)
		return err ? err : -EINVAL;
	if (!cfg.path || cfg.reserved || (cfg.name && strlen(cfg.name) > MAX_NAME) ||
	    (cfg.max_packet && cfg.max_packet < MIN_PACKET) ||
	    (cfg.buffer_bytes && cfg.buffer_bytes < MIN_BUFFER))
		return -EINVAL;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->work, NULL);
	c->fd = -1;
	c->max_bytes = cfg.max_bytes;
	c->max_packet = cfg.max_packet && cfg.max_packet < HVS_NET_MAX_FRAME + TAG_BYTES
				? cfg.max_packet
				: HVS_NET_MAX_FRAME + TAG_BYTES;
	c->buffer_bytes = cfg.buffer_bytes ? cfg.buffer_bytes : DEFAULT_BUFFER;
	c->filling.bytes = malloc(c->buffer_bytes);
	c->writing.bytes = malloc(c->buffer_bytes);
	err = c->filling.bytes && c->writing.bytes ? begin(c, &cfg) : -ENOMEM;
	if (err) {
		destroy(c);
		return err;
	}
	*out = c;
	return 0;
}

int hvs_capture_get_counters(struct hvs_capture *capture, struct hvs_capture_counters *counters)
{
	struct hvs_capture_counters now;

	if (!capture)
		return -EINVAL;
	pthread_mutex_lock(&capture->lock);
	now = capture->counters;
	pthread_mutex_unlock(&capture->lock);
	return hvsi_host_fill_sized(counters, &now, sizeof(now));
}

void hvs_capture_close(struct hvs_capture *capture)
{
	struct hvs_capture *c = capture;

	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	c->stop = true;
	pthread_mutex_unlock(&c->lock);
	pthread_cond_signal(&c->work);
	pthread_join(c->thread, NULL);
	c->writing.used = 0;
	put_statistics(&c->writing, &c->counters);
	if (!c->counters.error)
		(void)write_all(c->fd, &c->writing);
	destroy(c);
}
