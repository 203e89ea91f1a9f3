/* SPDX-License-Identifier: MIT */
#include "host/pcapng.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000u

#define BLOCK_SECTION 0x0a0d0d0au
#define BLOCK_INTERFACE 1u
#define BLOCK_STATISTICS 5u
#define BLOCK_PACKET 6u
#define BYTE_ORDER_MAGIC 0x1a2b3c4du
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

struct hvsi_pcapng {
	int fd;
	struct hvsi_pcapng_config cfg;
	pthread_t thread;
	struct buffer writing; /* the thread's */

	pthread_mutex_t lock; /* all of the following */
	pthread_cond_t work;
	struct buffer filling;
	struct hvs_capture_counters counters; /* bytes: also those not written yet */
	uint64_t dropped_before;              /* the last packet */
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

static void put_head(struct buffer *b, const struct hvsi_pcapng_config *cfg)
{
	static const char application[] = "libhvstack";
	const uint16_t version[2] = {1, 0};
	const int64_t unknown_len = -1;
	const uint16_t link[2] = {cfg->link, 0};
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
	put32(b, cfg->max_packet);
	if (cfg->name)
		put_option(b, OPTION_NAME, cfg->name, (uint16_t)strlen(cfg->name));
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

/* There is room for it. */
static void put_packet(struct hvsi_pcapng *w, const struct hvsi_pcapng_packet *p)
{
	const uint32_t flags = p->to_guest ? FLAG_INBOUND : FLAG_OUTBOUND;
	struct buffer *b = &w->filling;
	const uint32_t at = begin_block(b, BLOCK_PACKET);
	uint32_t lens_at;
	uint32_t lens[2]; /* in the file, of the packet */

	put32(b, 0); /* the interface */
	put_time(b);
	lens_at = b->used;
	b->used += sizeof(lens);
	lens[0] = p->gather(p->arg, b->bytes + b->used, w->cfg.max_packet);
	lens[1] = p->len < lens[0] ? lens[0] : p->len;
	memcpy(b->bytes + lens_at, lens, sizeof(lens));
	memset(b->bytes + b->used + lens[0], 0, padded(lens[0]) - lens[0]);
	b->used += padded(lens[0]);
	put_option(b, OPTION_FLAGS, &flags, sizeof(flags));
	if (w->dropped_before)
		put_option(b, OPTION_DROPS, &w->dropped_before, sizeof(w->dropped_before));
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

/* ---- packets ---------------------------------------------------------------------------- */

void hvsi_pcapng_add(struct hvsi_pcapng *w, const struct hvsi_pcapng_packet *p)
{
	const struct hvsi_pcapng_config *cfg = &w->cfg;
	const uint32_t most =
		padded(p->len < cfg->max_packet ? p->len : cfg->max_packet) + PACKET_OVERHEAD;
	uint32_t before;
	bool wake = false;

	pthread_mutex_lock(&w->lock);
	before = w->filling.used;
	if (w->counters.error || before > cfg->buffer_bytes || most > cfg->buffer_bytes - before ||
	    (cfg->max_bytes &&
	     (w->counters.bytes > cfg->max_bytes || most > cfg->max_bytes - w->counters.bytes))) {
		w->counters.dropped++;
		w->dropped_before++;
	} else {
		put_packet(w, p);
		w->dropped_before = 0;
		w->counters.frames++;
		w->counters.bytes += w->filling.used - before;
		wake = w->waiting;
		w->waiting = false;
	}
	pthread_mutex_unlock(&w->lock);
	if (wake)
		pthread_cond_signal(&w->work);
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
	struct hvsi_pcapng *w = arg;
	int err = 0;

	pthread_mutex_lock(&w->lock);
	for (;;) {
		struct buffer full;

		while (!w->filling.used && !w->stop) {
			w->waiting = true;
			pthread_cond_wait(&w->work, &w->lock);
		}
		if (!w->filling.used)
			break;
		full = w->filling;
		w->filling = w->writing;
		w->filling.used = 0;
		w->writing = full;
		pthread_mutex_unlock(&w->lock);
		if (!err)
			err = write_all(w->fd, &full);
		pthread_mutex_lock(&w->lock);
		w->counters.error = err;
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static int start_thread(struct hvsi_pcapng *w)
{
	sigset_t all;
	sigset_t before;
	int err;

	/* The program's signals are for its own threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&w->thread, NULL, run, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -err;
}

/* ---- opening ---------------------------------------------------------------------------- */

static int open_file(struct hvsi_pcapng *w)
{
	struct stat st;

	/* Not to wait for the other end of a FIFO. */
	w->fd = open(w->cfg.path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
	if (w->fd < 0)
		return errno == ENXIO ? -EINVAL : -errno;
	if (fstat(w->fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	return ftruncate(w->fd, 0) < 0 ? -errno : 0;
}

static int begin(struct hvsi_pcapng *w)
{
	int err = open_file(w);

	if (err)
		return err;
	put_head(&w->filling, &w->cfg);
	err = -write_all(w->fd, &w->filling);
	w->counters.bytes = w->filling.used;
	w->filling.used = 0;
	w->cfg.path = NULL; /* the caller's */
	w->cfg.name = NULL;
	return err ? err : start_thread(w);
}

static void destroy(struct hvsi_pcapng *w)
{
	if (w->fd >= 0)
		close(w->fd);
	pthread_mutex_destroy(&w->lock);
	pthread_cond_destroy(&w->work);
	free(w->filling.bytes);
	free(w->writing.bytes);
	free(w);
}

int hvsi_pcapng_open(const struct hvsi_pcapng_config *cfg, struct hvsi_pcapng **out)
{
	struct hvsi_pcapng *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return -ENOMEM;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->work, NULL);
	w->fd = -1;
	w->cfg = *cfg;
	w->filling.bytes = malloc(cfg->buffer_bytes);
	w->writing.bytes = malloc(cfg->buffer_bytes);
	err = w->filling.bytes && w->writing.bytes ? begin(w) : -ENOMEM;
	if (err) {
		destroy(w);
		return err;
	}
	*out = w;
	return 0;
}

void hvsi_pcapng_counters(struct hvsi_pcapng *w, struct hvs_capture_counters *counters)
{
	pthread_mutex_lock(&w->lock);
	*counters = w->counters;
	pthread_mutex_unlock(&w->lock);
}

void hvsi_pcapng_close(struct hvsi_pcapng *w)
{
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_mutex_unlock(&w->lock);
	pthread_cond_signal(&w->work);
	pthread_join(w->thread, NULL);
	w->writing.used = 0;
	put_statistics(&w->writing, &w->counters);
	if (!w->counters.error)
		(void)write_all(w->fd, &w->writing);
	destroy(w);
}
