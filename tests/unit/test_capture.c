/* SPDX-License-Identifier: MIT */
/*
 * Captures: tcpdump reads what was written, and so does a reader of our own, which looks at what
 * tcpdump does not show. Mirrors: copies to another NIC.
 */
#include "support/fakenic.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <fcntl.h>
#include <hvstack/host/capture.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BLOCK_INTERFACE 1u
#define BLOCK_STATISTICS 5u
#define BLOCK_PACKET 6u

static char dir[] = "/tmp/hvs-capturetest-XXXXXX";
static char path[64];
static struct hvs_capture *capture;
static struct event_base *base;
static struct hvs_mirror *mirror;
static struct hvs_nic *nic;

static void setup(void)
{
	cr_assert(mkdtemp(dir) != NULL);
	(void)snprintf(path, sizeof(path), "%s/capture", dir);
	evthread_use_pthreads();
	base = event_base_new();
	nic = hvst_nic_new();
}

static void teardown(void)
{
	hvs_capture_close(capture);
	hvs_mirror_destroy(mirror);
	event_base_free(base);
	hvst_nic_free(nic);
	unlink(path);
	rmdir(dir);
	libevent_global_shutdown();
}

TestSuite(capture, .init = setup, .fini = teardown, .timeout = 60);

static struct hvs_capture_config good_config(void)
{
	return (struct hvs_capture_config){HVS_CAPTURE_CONFIG_INIT, .path = path, .name = "net0"};
}

static void open_with(const struct hvs_capture_config *cfg)
{
	cr_assert_eq(hvs_capture_open(cfg, &capture), 0);
}

static void open_capture(void)
{
	const struct hvs_capture_config cfg = good_config();

	open_with(&cfg);
}

static void close_capture(void)
{
	hvs_capture_close(capture);
	capture = NULL;
}

static struct hvs_capture_counters counters(void)
{
	struct hvs_capture_counters c = {HVS_CAPTURE_COUNTERS_INIT};

	cr_assert_eq(hvs_capture_get_counters(capture, &c), 0);
	return c;
}

static void pass(bool to_guest, const uint8_t *bytes, uint32_t len, uint32_t flags, uint16_t tci)
{
	struct hvs_net_frame *frame = hvst_frame(bytes, len, 64, 3000);

	frame->flags = flags;
	frame->vlan_tci = tci;
	hvs_capture_ops()->frame(capture, 0, to_guest, frame);
	free(frame);
}

static void pass_udp(bool to_guest, uint32_t payload, uint8_t mark)
{
	static uint8_t bytes[66000];

	pass(to_guest, bytes, hvst_udp4(bytes, payload, mark), 0, 0);
}

/* ---- a reader --------------------------------------------------------------------------- */

static uint8_t file[32 << 20];
static uint32_t file_len;

static uint32_t word(uint32_t at)
{
	uint32_t value;

	cr_assert(at + 4 <= file_len, "%u of %u", at, file_len);
	memcpy(&value, file + at, sizeof(value));
	return value;
}

static void read_file(void)
{
	int fd = open(path, O_RDONLY);
	ssize_t n = read(fd, file, sizeof(file));

	cr_assert(n > 0 && (size_t)n < sizeof(file));
	file_len = (uint32_t)n;
	close(fd);
	cr_assert_eq(word(0), 0x0a0d0d0a);
	cr_assert_eq(word(8), 0x1a2b3c4d);
}

/* The nth block of a type, and how many there are. Lengths at both ends of each have to agree. */
static uint32_t blocks(uint32_t type, unsigned n, uint32_t *at)
{
	unsigned count = 0;
	uint32_t len;

	for (uint32_t i = 0; i < file_len; i += len) {
		len = word(i + 4);
		cr_assert(len >= 12 && len % 4 == 0);
		cr_assert_eq(word(i + len - 4), len);
		if (word(i) == type && count++ == n && at)
			*at = i;
	}
	return count;
}

/* Where the option's value is, from where the options of a block begin; 0: there is none. */
static uint32_t option(uint32_t at, uint16_t code, uint16_t len)
{
	while (word(at) != 0) {
		if ((word(at) & 0xffff) == code) {
			cr_assert_eq(word(at) >> 16, len);
			return at + 4;
		}
		at += 4 + ((word(at) >> 16) + 3) / 4 * 4;
	}
	return 0;
}

static uint32_t options_of_packet(uint32_t at)
{
	return at + 28 + (word(at + 20) + 3) / 4 * 4;
}

/* ---- captures --------------------------------------------------------------------------- */

/* The lines that tcpdump prints for the file. */
static const char *tcpdump(void)
{
	static char text[65536];
	char command[200];
	FILE *out;
	size_t n;

	(void)snprintf(command, sizeof(command),
		       "tcpdump -nn -e -vv -r %s 2>&1 || echo tcpdump failed", path);
	out = popen(command, "r"); /* NOLINT(cert-env33-c) */
	cr_assert(out != NULL);
	n = fread(text, 1, sizeof(text) - 1, out);
	text[n] = '\0';
	pclose(out);
	return text;
}

static unsigned count(const char *text, const char *words)
{
	unsigned n = 0;

	for (; (text = strstr(text, words)); text++)
		n++;
	return n;
}

Test(capture, tcpdump_reads_it)
{
	uint8_t bytes[2000];
	const char *text;

	open_capture();
	pass_udp(false, 100, 1);
	pass_udp(true, 1400, 2);
	pass(false, bytes, hvst_udp4(bytes, 50, 3), HVS_NET_VLAN, 0x6123);
	close_capture();
	text = tcpdump();
	cr_assert_eq(count(text, "10.9.0.2.4660 > 10.9.0.1."), 3, "%s", text);
	cr_assert_eq(count(text, "udp sum ok"), 3, "%s", text);
	cr_assert_eq(count(text, "length 142:"), 1, "%s", text);
	cr_assert_eq(count(text, "length 1442:"), 1, "%s", text);
	cr_assert_eq(count(text, "length 96: vlan 291, p 3, ethertype IPv4"), 1, "%s", text);
	cr_assert_eq(count(text, "failed"), 0, "%s", text);
}

Test(capture, blocks_say_direction_and_time)
{
	struct timespec now;
	uint64_t ns;
	uint32_t at = 0;
	uint32_t options;

	open_capture();
	for (unsigned i = 0; i < 10; i++)
		pass_udp(i % 2, 100 + i, (uint8_t)i);
	close_capture();
	clock_gettime(CLOCK_REALTIME, &now);
	read_file();
	cr_assert_eq(blocks(BLOCK_PACKET, 0, NULL), 10);
	for (unsigned i = 0; i < 10; i++) {
		blocks(BLOCK_PACKET, i, &at);
		cr_assert_eq(word(at + 20), 142 + i);
		cr_assert_eq(word(at + 24), 142 + i);
		cr_assert_eq(file[at + 28 + 19], i);
		options = options_of_packet(at);
		cr_assert_eq(word(option(options, 2, 4)), i % 2 ? 1 : 2);
		cr_assert_eq(option(options, 4, 8), 0);
		ns = (uint64_t)word(at + 12) << 32 | word(at + 16);
		cr_assert(ns / 1000000000u <= (uint64_t)now.tv_sec);
		cr_assert(ns / 1000000000u + 60 > (uint64_t)now.tv_sec);
	}
	cr_assert_eq(blocks(BLOCK_INTERFACE, 0, &at), 1);
	cr_assert_eq(word(at + 8), 1);
	cr_assert_eq(file[option(at + 16, 9, 1)], 9);
	cr_assert_eq(memcmp(file + option(at + 16, 2, 4), "net0", 4), 0);
	cr_assert_eq(blocks(BLOCK_STATISTICS, 0, &at), 1);
	cr_assert_eq(word(option(at + 20, 4, 8)), 10);
	cr_assert_eq(word(option(at + 20, 5, 8)), 0);
}

Test(capture, frames_of_all_lengths_are_whole)
{
	static uint8_t bytes[66000];
	uint32_t at = 0;

	open_capture();
	for (uint32_t payload = 0; payload < 8; payload++)
		pass_udp(true, payload, 1);
	pass_udp(false, 65000, 9);
	close_capture();
	read_file();
	cr_assert_eq(blocks(BLOCK_PACKET, 8, &at), 9);
	cr_assert_eq(word(at + 20), 65042);
	hvst_udp4(bytes, 65000, 9);
	cr_assert_eq(memcmp(file + at + 28, bytes, 65042), 0);
}

Test(capture, only_the_beginning_is_kept_if_so_wanted)
{
	struct hvs_capture_config cfg = good_config();
	uint8_t bytes[2000];
	const uint32_t len = hvst_udp4(bytes, 1000, 1);
	uint32_t at = 0;

	cfg.max_packet = 65;
	open_with(&cfg);
	pass(false, bytes, len, 0, 0);
	pass(false, bytes, len, HVS_NET_VLAN, 5);
	close_capture();
	read_file();
	for (unsigned i = 0; i < 2; i++) {
		cr_assert_eq(blocks(BLOCK_PACKET, i, &at), 2);
		cr_assert_eq(word(at + 20), 65);
		cr_assert_eq(word(at + 24), len + i * 4);
	}
	cr_assert_eq(memcmp(file + at + 28 + 16, bytes + 12, 65 - 16), 0);
	cr_assert_eq(count(tcpdump(), "vlan 5,"), 1);
}

Test(capture, it_is_written_soon)
{
	struct stat st;

	open_capture();
	pass_udp(false, 1000, 1);
	hvst_until(NULL, stat(path, &st) == 0 && (uint64_t)st.st_size == counters().bytes);
	cr_assert(counters().bytes > 1000);
	cr_assert_eq(st.st_mode & 0777, 0600);
	cr_assert_eq(count(tcpdump(), "10.9.0.2.4660"), 1);
}

Test(capture, a_file_does_not_exceed_its_limit)
{
	struct hvs_capture_config cfg = good_config();
	struct hvs_capture_counters c;
	struct stat st;
	uint32_t at = 0;

	cfg.max_bytes = 10000;
	open_with(&cfg);
	for (unsigned i = 0; i < 20; i++)
		pass_udp(false, 1000, (uint8_t)i);
	c = counters();
	cr_assert_eq(c.frames + c.dropped, 20);
	cr_assert(c.frames == 8 || c.frames == 9);
	cr_assert(c.bytes <= 10000);
	/* What is small enough still fits. */
	pass_udp(false, 10, 0);
	cr_assert_eq(counters().frames, c.frames + 1);
	close_capture();
	cr_assert_eq(stat(path, &st), 0);
	cr_assert(st.st_size <= 10000 + 100); /* statistics come on top */
	read_file();
	cr_assert_eq(blocks(BLOCK_PACKET, (unsigned)c.frames, &at), c.frames + 1);
	cr_assert_eq(word(option(options_of_packet(at), 4, 8)), c.dropped);
	cr_assert_eq(blocks(BLOCK_STATISTICS, 0, &at), 1);
	cr_assert_eq(word(option(at + 20, 5, 8)), c.dropped);
}

Test(capture, a_buffer_that_is_full_costs_frames_but_no_time)
{
	struct hvs_capture_config cfg = good_config();
	struct hvs_capture_counters c;
	uint32_t at = 0;
	uint64_t dropped = 0;

	cfg.buffer_bytes = 128 << 10;
	open_with(&cfg);
	/* Faster than any disk: the thread has no turn between two of them. */
	for (unsigned i = 0; i < 300; i++)
		pass_udp(false, 60000, (uint8_t)i);
	hvst_linger(NULL, 50);
	pass_udp(false, 100, 1);
	c = counters();
	cr_assert_eq(c.frames + c.dropped, 301);
	close_capture();
	read_file();
	cr_assert_eq(blocks(BLOCK_PACKET, 0, NULL), c.frames);
	for (unsigned i = 0; i < c.frames; i++) {
		blocks(BLOCK_PACKET, i, &at);
		if (option(options_of_packet(at), 4, 8))
			dropped += word(option(options_of_packet(at), 4, 8));
	}
	cr_assert_eq(dropped, c.dropped);
}

Test(capture, a_disk_that_is_full_ends_it)
{
	const struct rlimit limit = {2000, 2000};

	open_capture();
	signal(SIGXFSZ, SIG_IGN);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	pass_udp(false, 5000, 1);
	hvst_until(NULL, counters().error == EFBIG);
	pass_udp(false, 100, 1);
	cr_assert_eq(counters().dropped, 1);
}

Test(capture, what_cannot_be_a_capture_is_refused)
{
	struct hvs_capture_config cfg = good_config();
	struct hvs_capture_counters c = {.size = 8};
	char name[80];

	cr_assert_eq(hvs_capture_open(NULL, &capture), -EINVAL);
	cr_assert_eq(hvs_capture_open(&cfg, NULL), -EINVAL);
	cfg.path = NULL;
	cr_assert_eq(hvs_capture_open(&cfg, &capture), -EINVAL);
	cfg.path = dir;
	cr_assert_eq(hvs_capture_open(&cfg, &capture), -EISDIR);
	cfg.path = "/nowhere/at/all";
	cr_assert_eq(hvs_capture_open(&cfg, &capture), -ENOENT);
	cfg.path = "/dev/null";
	cr_assert_eq(hvs_capture_open(&cfg, &capture), -EINVAL);
	cr_assert_eq(mkfifo(path, 0600), 0);
	cfg.path = path;
	cr_assert_eq(hvs_capture_open(&cfg, &capture), -EINVAL);
	unlink(path);
	cfg.max_packet = 63;
	cr_assert_eq(hvs_capture_open(&cfg, &capture), -EINVAL);
	cfg.max_packet = 0;
	cfg.buffer_bytes = 1000;
	cr_assert_eq(hvs_capture_open(&cfg, &capture), -EINVAL);
	cfg.buffer_bytes = 0;
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	cfg.name = name;
	cr_assert_eq(hvs_capture_open(&cfg, &capture), -EINVAL);
	cr_assert(capture == NULL);
	open_capture();
	c.size = 3;
	cr_assert_eq(hvs_capture_get_counters(capture, &c), -EINVAL);
	cr_assert_eq(hvs_capture_get_counters(NULL, &c), -EINVAL);
	cr_assert_eq(hvs_capture_get_counters(capture, NULL), -EINVAL);
}

/* ---- mirrors ---------------------------------------------------------------------------- */

static void copy(bool to_guest, uint8_t mark)
{
	uint8_t bytes[2000];
	const uint32_t len = hvst_udp4(bytes, 1000, mark);
	struct hvs_net_frame *frame = hvst_frame(bytes, len, 64, 100);

	frame->flags = HVS_NET_VLAN;
	frame->vlan_tci = mark;
	hvs_mirror_ops()->frame(mirror, 0, to_guest, frame);
	free(frame);
}

Test(capture, a_mirror_hands_on_copies)
{
	uint8_t bytes[2000];

	cr_assert_eq(hvs_mirror_create(nic, base, &mirror), 0);
	for (unsigned i = 0; i < 150; i++)
		copy(i % 2, (uint8_t)i);
	hvst_until(base, hvst_nic_came(nic) == 150);
	for (unsigned i = 0; i < 150; i++) {
		const struct hvst_rx rx = hvst_nic_rx(nic, i);

		cr_assert_eq(rx.frame.len, hvst_udp4(bytes, 1000, (uint8_t)i));
		cr_assert_eq(memcmp(rx.bytes, bytes, rx.frame.len), 0);
		cr_assert_eq(rx.frame.vlan_tci, i);
		cr_assert_eq(rx.frame.flags, HVS_NET_VLAN);
		cr_assert_eq(rx.queue, 0);
	}
	cr_assert_eq(hvs_mirror_dropped(mirror), 0);
}

Test(capture, a_mirror_drops_what_there_is_no_room_for)
{
	cr_assert_eq(hvs_mirror_create(nic, base, &mirror), 0);
	hvst_nic_set_room(nic, 3);
	for (unsigned i = 0; i < 10; i++)
		copy(true, (uint8_t)i);
	hvst_until(base, hvs_mirror_dropped(mirror) == 7);
	cr_assert_eq(hvst_nic_came(nic), 3);
	/* Nobody runs the base: there is an end to what waits. */
	for (unsigned i = 0; i < 5000; i++)
		copy(true, 1);
	cr_assert(hvs_mirror_dropped(mirror) > 7);
}

Test(capture, a_mirror_needs_a_nic_and_a_base)
{
	cr_assert_eq(hvs_mirror_create(NULL, base, &mirror), -EINVAL);
	cr_assert_eq(hvs_mirror_create(nic, NULL, &mirror), -EINVAL);
	cr_assert_eq(hvs_mirror_create(nic, base, NULL), -EINVAL);
}
