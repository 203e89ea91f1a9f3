/* SPDX-License-Identifier: MIT */
/*
 * Network back ends between threads: both ends of a wire and of a socket have queues on threads of
 * their own, which send as fast as they can while a NIC comes and goes, and a capture that all of
 * them write into. Every frame comes back once.
 */
#include <assert.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <hvstack/host/capture.h>
#include <hvstack/host/wire.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ENDS 2u
#define QUEUES 2u
#define ROUNDS 300u
#define BATCH 16u
#define LEN 200u
#define CHANGES 40u
#define MAX_OUTSTANDING 512u

/* ---- NICs ------------------------------------------------------------------------------- */

struct hvs_nic {
	atomic_uint sent;
	atomic_uint back;
	atomic_uint came;
	atomic_uint inside; /* threads in hvs_nic_rx() */
	atomic_bool there;
	atomic_bool closed; /* it sends nothing */
	atomic_uint quiet;  /* threads that have seen this */
};

static struct hvs_capture *capture;

unsigned hvs_nic_rx(struct hvs_nic *nic, uint32_t queue, const struct hvs_net_frame *const *frames,
		    unsigned n)
{
	atomic_fetch_add(&nic->inside, 1);
	assert(atomic_load(&nic->there));
	for (unsigned i = 0; i < n; i++) {
		assert(frames[i]->len == LEN);
		assert(memcmp(frames[i]->iov[0].iov_base, "frame", 5) == 0);
		hvs_capture_ops()->frame(capture, queue, true, frames[i]);
	}
	atomic_fetch_add(&nic->came, n);
	assert(atomic_load(&nic->there));
	atomic_fetch_sub(&nic->inside, 1);
	return n;
}

void hvs_nic_tx_done(struct hvs_nic *nic, struct hvs_net_frame *const *frames, unsigned n,
		     enum hvs_net_status status)
{
	assert(status == HVS_NET_OK || status == HVS_NET_DROPPED);
	for (unsigned i = 0; i < n; i++)
		free(frames[i]);
	atomic_fetch_add(&nic->back, n);
}

void hvs_nic_set_link(struct hvs_nic *nic, bool up, uint64_t bits_per_second)
{
	(void)up;
	(void)bits_per_second;
	assert(atomic_load(&nic->there));
}

/* ---- threads ---------------------------------------------------------------------------- */

static struct event_base *bases[ENDS][QUEUES];
static struct hvs_nic nics[ENDS];
static const struct hvs_net_ops *ops;
static void *back_ends[ENDS];
static atomic_uint busy; /* threads that have something to send */

struct sender {
	unsigned end;
	uint32_t queue;
	pthread_t thread;
};

static struct hvs_net_frame *make_frame(void)
{
	struct {
		struct hvs_net_frame frame;
		struct iovec iov;
		uint8_t bytes[LEN];
	} *f = calloc(1, sizeof(*f));

	assert(f);
	memcpy(f->bytes, "frame", 5);
	f->iov = (struct iovec){f->bytes, LEN};
	f->frame =
		(struct hvs_net_frame){HVS_NET_FRAME_INIT, .len = LEN, .iov = &f->iov, .iovcnt = 1};
	return &f->frame;
}

static void run_queue(const struct sender *s)
{
	event_base_loop(bases[s->end][s->queue], EVLOOP_NONBLOCK);
}

static void send_batch(const struct sender *s)
{
	struct hvs_net_frame *frames[BATCH];

	for (unsigned i = 0; i < BATCH; i++)
		frames[i] = make_frame();
	atomic_fetch_add(&nics[s->end].sent, BATCH);
	ops->tx(back_ends[s->end], s->queue, frames, BATCH);
}

/* A worker: it sends, and runs what its queue has to do. */
static void *run_sender(void *arg)
{
	const struct sender *s = arg;
	struct hvs_nic *nic = &nics[s->end];
	unsigned round = 0;
	bool quiet = false;

	while (atomic_load(&busy)) {
		run_queue(s);
		if (atomic_load(&nic->closed) != quiet) {
			quiet = !quiet;
			atomic_fetch_add(&nic->quiet, quiet ? 1u : ~0u);
		}
		if (quiet || round == ROUNDS ||
		    atomic_load(&nic->sent) - atomic_load(&nic->back) > MAX_OUTSTANDING)
			continue;
		send_batch(s);
		if (++round == ROUNDS)
			atomic_fetch_sub(&busy, 1);
	}
	return NULL;
}

static void attach(unsigned end)
{
	atomic_store(&nics[end].there, true);
	ops->attach(back_ends[end], &nics[end]);
}

static void detach(unsigned end)
{
	ops->detach(back_ends[end]);
	assert(atomic_load(&nics[end].inside) == 0);
	atomic_store(&nics[end].there, false);
}

static bool all_back(unsigned end)
{
	return atomic_load(&nics[end].sent) == atomic_load(&nics[end].back);
}

/* As a NIC is removed and another one takes its place: its threads may still send when it is
 * detached, and it has not gone until everything is back. */
static void replace(unsigned end)
{
	struct hvs_nic *nic = &nics[end];

	detach(end);
	atomic_store(&nic->closed, true);
	while (atomic_load(&nic->quiet) < QUEUES || !all_back(end))
		usleep(100);
	attach(end);
	atomic_store(&nic->closed, false);
	while (atomic_load(&nic->quiet))
		usleep(100);
}

static void settle(void)
{
	while (!all_back(0) || !all_back(1))
		for (unsigned i = 0; i < ENDS * QUEUES; i++)
			event_base_loop(bases[i / QUEUES][i % QUEUES], EVLOOP_NONBLOCK);
}

static void traffic(void)
{
	struct sender senders[ENDS * QUEUES];

	for (unsigned i = 0; i < ENDS; i++)
		attach(i);
	atomic_store(&busy, ENDS * QUEUES);
	for (unsigned i = 0; i < ENDS * QUEUES; i++) {
		senders[i] = (struct sender){.end = i / QUEUES, .queue = i % QUEUES};
		assert(pthread_create(&senders[i].thread, NULL, run_sender, &senders[i]) == 0);
	}
	for (unsigned i = 0; i < CHANGES && atomic_load(&busy) == ENDS * QUEUES; i++) {
		usleep(1000);
		replace(1);
	}
	for (unsigned i = 0; i < ENDS * QUEUES; i++)
		pthread_join(senders[i].thread, NULL);
	settle();
	for (unsigned i = 0; i < ENDS; i++) {
		detach(i);
		assert(atomic_load(&nics[i].sent) == QUEUES * ROUNDS * BATCH);
		assert(atomic_load(&nics[i].back) == QUEUES * ROUNDS * BATCH);
		/* Networks may lose them, and do when their worker does not run. */
		printf("end %u: %u of %u frames came\n", i, atomic_load(&nics[i].came),
		       QUEUES * ROUNDS * BATCH);
		memset(&nics[i], 0, sizeof(nics[i]));
	}
}

static void over_a_wire(void)
{
	struct hvs_wire_config cfg = {HVS_WIRE_CONFIG_INIT};
	struct hvs_wire *wire;

	for (unsigned i = 0; i < ENDS; i++)
		cfg.end[i] = (struct hvs_wire_end_config){.bases = bases[i], .base_count = QUEUES};
	assert(hvs_wire_create(&cfg, &wire) == 0);
	for (unsigned i = 0; i < ENDS; i++)
		back_ends[i] = hvs_wire_get_end(wire, i);
	ops = hvs_wire_ops();
	traffic();
	hvs_wire_destroy(wire);
}

static void over_a_socket(void)
{
	struct hvs_pipe *pipes[ENDS];
	int fds[ENDS];

	assert(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) == 0);
	for (unsigned i = 0; i < ENDS; i++) {
		const struct hvs_pipe_config cfg = {HVS_PIPE_CONFIG_INIT, .fd = fds[i],
						    .base = bases[i][0], .max_queues = QUEUES};

		assert(hvs_pipe_open(&cfg, &pipes[i], NULL, 0) == 0);
		back_ends[i] = pipes[i];
	}
	ops = hvs_pipe_ops();
	traffic();
	for (unsigned i = 0; i < ENDS; i++)
		hvs_pipe_close(pipes[i]);
}

int main(void)
{
	char path[] = "/tmp/hvs-threads-XXXXXX";
	const struct hvs_capture_config cfg = {HVS_CAPTURE_CONFIG_INIT, .path = path,
					       .max_bytes = 1 << 20};

	close(mkstemp(path));
	assert(hvs_capture_open(&cfg, &capture) == 0);
	evthread_use_pthreads();
	for (unsigned i = 0; i < ENDS * QUEUES; i++)
		bases[i / QUEUES][i % QUEUES] = event_base_new();
	over_a_wire();
	over_a_socket();
	for (unsigned i = 0; i < ENDS * QUEUES; i++)
		event_base_free(bases[i / QUEUES][i % QUEUES]);
	libevent_global_shutdown();
	hvs_capture_close(capture);
	unlink(path);
	return 0;
}
