/* SPDX-License-Identifier: MIT */
/* Counters of channels and disks, latencies, and the tap. */
#include "support/stor.h"

#include <errno.h>

static uint8_t data[1u << 20];
static struct hvs_memdisk memdisk = {HVS_MEMDISK_INIT, .data = data, .len = sizeof(data),
				     .block_size = 512};
static struct hvs_disk *disk;
static struct stor s;

static void up_with(const struct stor_options *opt)
{
	stor_up(&s, opt);
	disk = stor_attach(&s, 0, 0, 0, hvs_memdisk_ops(), &memdisk);
	stor_start(&s, opt);
	/* The unit attention of a new disk. */
	for (unsigned i = 0; i < 3; i++) {
		const struct hvsi_vstor_packet p = stor_ready(0);

		(void)stor_do(&s, 0, &p);
	}
}

static void up(void)
{
	up_with(&(struct stor_options){.channels = 1});
}

static void down(void)
{
	stor_down(&s);
}

TestSuite(stats, .init = up, .fini = down, .timeout = 60);
TestSuite(faults, .init = up, .timeout = 60);
TestSuite(latency, .timeout = 60);

/* ---- channels --------------------------------------------------------------------------------- */

struct found {
	struct hvs_channel *ch; /* that is open */
	unsigned count;
	unsigned open;
};

static void look(void *arg, struct hvs_channel *ch)
{
	struct hvs_channel_info info = {.size = sizeof(info)};
	struct found *found = arg;

	cr_assert_eq(hvs_channel_get_info(ch, &info), 0);
	found->count++;
	if (info.state != HVS_CHANNEL_OPEN)
		return;
	found->open++;
	found->ch = ch;
	cr_assert_eq(info.channel_id, 1);
	cr_assert_eq(info.target_vp, 0);
	cr_assert_eq(info.send_ring_bytes, 64u * 1024);
	cr_assert_eq(info.recv_ring_bytes, 64u * 1024);
}

static struct hvs_channel *open_channel(void)
{
	struct found found = {0};

	hvs_vmbus_visit_channels(hvs_loopback_bus(s.lb), look, &found);
	cr_assert_eq(found.count, 1);
	cr_assert_eq(found.open, 1);
	return found.ch;
}

static struct hvs_channel_counters counters(const struct hvs_channel *ch)
{
	struct hvs_channel_counters c = {.size = sizeof(c)};

	cr_assert_eq(hvs_channel_get_counters(ch, &c), 0);
	return c;
}

Test(stats, a_command_and_its_completion_count_as_a_packet_each_way)
{
	struct hvs_channel *ch = open_channel();
	const struct hvs_channel_counters before = counters(ch);
	struct hvs_channel_counters after;

	stor_do_good(&s, 0, stor_ready(0));
	after = counters(ch);
	cr_assert_eq(after.from_packets - before.from_packets, 1);
	cr_assert_eq(after.to_packets - before.to_packets, 1);
	/* Descriptor, VSTOR packet, trailer. */
	cr_assert_eq(after.from_bytes - before.from_bytes, 16 + 64 + 8);
	cr_assert_eq(after.to_bytes - before.to_bytes, 16 + 64 + 8);
	cr_assert_gt(after.batches, before.batches);
	cr_assert_eq(after.signals_sent + after.signals_spared,
		     before.signals_sent + before.signals_spared + 1);
	cr_assert_eq(after.faults, 0);
}

Test(stats, bytes_go_on_where_the_ring_begins_anew)
{
	struct hvs_channel *ch = open_channel();
	const struct hvs_channel_counters before = counters(ch);
	struct hvs_channel_counters after;

	for (unsigned i = 0; i < 1000; i++)
		stor_do_good(&s, 0, stor_ready(0));
	after = counters(ch);
	cr_assert_eq(after.from_bytes - before.from_bytes, 1000 * 88);
	cr_assert_eq(after.to_bytes - before.to_bytes, 1000 * 88);
}

Test(stats, completions_that_find_no_room_are_counted)
{
	struct hvs_channel *ch = open_channel();

	for (unsigned i = 0; i < 1000; i++) { /* the guest takes none of them */
		const struct hvsi_vstor_packet p = stor_ready(0);

		stor_send(&s, 0, &p);
		stor_run(&s);
	}
	cr_assert_gt(counters(ch).ring_full, 0);
}

Test(faults, they_are_counted)
{
	struct hvs_channel *ch = open_channel();
	const uint64_t word = 0;
	const struct iovec iov = {.iov_base = (void *)(uintptr_t)&word, .iov_len = sizeof(word)};

	cr_assert_eq(hvs_guest_send(s.ch[0], 0, false, NULL, &iov, 1), 0);
	hvs_guest_flush(s.ch[0]);
	stor_run(&s);
	cr_assert_eq(counters(ch).faults, 1);
	hvs_loopback_destroy(s.lb);
}

Test(stats, a_struct_of_an_older_program_is_filled_as_far_as_it_goes)
{
	struct hvs_channel_counters c = {.size = offsetof(struct hvs_channel_counters, to_bytes),
					 .to_bytes = 42};

	stor_do_good(&s, 0, stor_ready(0));
	cr_assert_eq(hvs_channel_get_counters(open_channel(), &c), 0);
	cr_assert_gt(c.to_packets, 0);
	cr_assert_eq(c.to_bytes, 42);
}

Test(stats, nonsense_is_refused)
{
	struct hvs_channel_counters c = {.size = sizeof(c)};
	struct hvs_channel_info info = {.size = 0};
	struct hvs_disk_counters d = {.size = sizeof(d)};
	struct hvs_latency l = {.size = sizeof(l)};
	struct hvs_channel *ch = open_channel();

	cr_assert_eq(hvs_channel_get_counters(ch, NULL), -EINVAL);
	cr_assert_eq(hvs_channel_get_counters(NULL, &c), -EINVAL);
	cr_assert_eq(hvs_channel_get_info(ch, &info), -EINVAL);
	cr_assert_eq(hvs_disk_get_counters(disk, HVS_DISK_OPS, &d), -EINVAL);
	cr_assert_eq(hvs_disk_get_latency(disk, HVS_DISK_OPS, &l), -EINVAL);
	cr_assert_eq(hvs_disk_get_counters(NULL, HVS_DISK_READ, &d), -EINVAL);
	cr_assert_eq(hvs_disk_get_latency(NULL, HVS_DISK_READ, &l), -EINVAL);
	cr_assert_eq(hvs_disk_measure_latency(NULL, true), -EINVAL);
}

/* ---- disks ------------------------------------------------------------------------------------ */

static struct hvs_disk_counters disk_counters(enum hvs_disk_op op)
{
	struct hvs_disk_counters c = {.size = sizeof(c)};

	cr_assert_eq(hvs_disk_get_counters(disk, op, &c), 0);
	return c;
}

Test(stats, commands_are_counted_by_what_they_do)
{
	stor_do_good(&s, 0, stor_rw(0, true, 0, 8));
	stor_do_good(&s, 0, stor_rw(0, true, 8, 1));
	stor_do_good(&s, 0, stor_rw(0, false, 0, 2));
	stor_do_good(&s, 0, stor_flush(0));
	cr_assert_eq(disk_counters(HVS_DISK_WRITE).requests, 2);
	cr_assert_eq(disk_counters(HVS_DISK_WRITE).bytes, 9 * 512);
	cr_assert_eq(disk_counters(HVS_DISK_READ).requests, 1);
	cr_assert_eq(disk_counters(HVS_DISK_READ).bytes, 1024);
	cr_assert_eq(disk_counters(HVS_DISK_FLUSH).requests, 1);
	cr_assert_eq(disk_counters(HVS_DISK_UNMAP).requests, 0);
	cr_assert_gt(disk_counters(HVS_DISK_OTHER).requests, 0);
	cr_assert_eq(disk_counters(HVS_DISK_READ).errors, 0);
}

Test(stats, what_ends_badly_is_an_error)
{
	stor_do_check(&s, 0, stor_rw(0, false, 0x10000000, 1), 0x052100);
	cr_assert_eq(disk_counters(HVS_DISK_READ).requests, 1);
	cr_assert_eq(disk_counters(HVS_DISK_READ).errors, 1);
	cr_assert_eq(disk_counters(HVS_DISK_READ).bytes, 0);
}

static uint64_t measured(enum hvs_disk_op op)
{
	struct hvs_latency l = {.size = sizeof(l)};
	uint64_t count = 0;

	cr_assert_eq(hvs_disk_get_latency(disk, op, &l), 0);
	for (unsigned i = 0; i < HVS_LATENCY_BUCKETS; i++)
		count += l.bucket[i];
	return count;
}

Test(stats, latencies_are_measured_when_somebody_asks)
{
	stor_do_good(&s, 0, stor_rw(0, false, 0, 1));
	cr_assert_eq(measured(HVS_DISK_READ), 0);
	cr_assert_eq(hvs_disk_measure_latency(disk, true), 0);
	stor_do_good(&s, 0, stor_rw(0, false, 0, 1));
	stor_do_good(&s, 0, stor_rw(0, true, 0, 1));
	cr_assert_eq(measured(HVS_DISK_READ), 1);
	cr_assert_eq(measured(HVS_DISK_WRITE), 1);
	cr_assert_eq(hvs_disk_measure_latency(disk, false), 0);
	stor_do_good(&s, 0, stor_rw(0, false, 0, 1));
	cr_assert_eq(measured(HVS_DISK_READ), 1);
}

/* A back end that takes as long as it is told to. */
static struct hvs_blk_req *held;

static int held_info(void *arg, struct hvs_blk_info *info)
{
	(void)arg;
	info->block_size = 512;
	info->physical_block_size = 512;
	info->num_blocks = 1024;
	return 0;
}

static void hold(void *arg, struct hvs_blk_req *req)
{
	(void)arg;
	held = req;
}

static const struct hvs_blk_ops hold_ops = {HVS_BLK_OPS_INIT, .get_info = held_info,
					    .submit = hold};

Test(latency, it_is_in_the_bucket_of_its_time)
{
	static const struct {
		uint64_t ns;
		unsigned bucket;
	} cases[] = {{1024, 0},
		     {1025, 1},
		     {2048, 1},
		     {1000000, 10},
		     {1048577, 11},
		     {UINT64_C(1) << 34, 24},
		     {UINT64_C(1) << 40, 25}};
	const struct stor_options opt = {.channels = 1};
	struct hvs_latency l = {.size = sizeof(l)};
	uint64_t sum = 0;

	stor_up(&s, &opt);
	disk = stor_attach(&s, 0, 0, 0, &hold_ops, NULL);
	stor_start(&s, &opt);
	for (unsigned i = 0; i < 3; i++) {
		const struct hvsi_vstor_packet p = stor_ready(0);

		(void)stor_do(&s, 0, &p);
	}
	cr_assert_eq(hvs_disk_measure_latency(disk, true), 0);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct hvsi_vstor_packet p = stor_rw(0, false, 0, 1);
		struct hvs_latency before = {.size = sizeof(before)};
		uint64_t xid = stor_send(&s, 0, &p);

		cr_assert_eq(hvs_disk_get_latency(disk, HVS_DISK_READ, &before), 0);
		hvs_loopback_advance(s.lb, cases[i].ns);
		hvs_blk_complete(held, HVS_BLK_OK);
		stor_run(&s);
		stor_expect_good(&s, 0, xid);
		cr_assert_eq(hvs_disk_get_latency(disk, HVS_DISK_READ, &l), 0);
		cr_assert_eq(l.bucket[cases[i].bucket], before.bucket[cases[i].bucket] + 1, "%u",
			     i);
		sum += cases[i].ns;
		cr_assert_eq(l.sum_ns, sum);
	}
	stor_down(&s);
}

Test(latency, bounds_of_buckets_double)
{
	cr_assert_eq(hvs_latency_bound(0), 1024);
	for (unsigned i = 1; i < HVS_LATENCY_BUCKETS - 1; i++)
		cr_assert_eq(hvs_latency_bound(i), 2 * hvs_latency_bound(i - 1));
	cr_assert_eq(hvs_latency_bound(HVS_LATENCY_BUCKETS - 1), UINT64_MAX);
	cr_assert_eq(hvs_latency_bound(UINT32_MAX), UINT64_MAX);
}

/* ---- the tap ---------------------------------------------------------------------------------- */

struct seen {
	unsigned packets[2]; /* from the guest, to it */
	unsigned messages;
	size_t len;
	uint8_t bytes[256]; /* of the last packet */
};

static void on_event(void *arg, const struct hvs_tap_event *e)
{
	struct seen *seen = arg;
	size_t at = 0;

	seen->messages += e->kind == HVS_TAP_MESSAGE;
	seen->packets[e->to_guest] += e->kind == HVS_TAP_PACKET;
	if (e->kind != HVS_TAP_PACKET)
		return;
	cr_assert_eq(e->channel_id, 1);
	cr_assert_not_null(e->class_id);
	seen->len = e->len;
	for (unsigned i = 0; i < e->iovcnt; i++) {
		cr_assert_leq(at + e->iov[i].iov_len, sizeof(seen->bytes));
		if (e->iov[i].iov_len)
			memcpy(seen->bytes + at, e->iov[i].iov_base, e->iov[i].iov_len);
		at += e->iov[i].iov_len;
	}
	cr_assert_eq(at, e->len);
}

static const struct hvs_tap_ops tap_ops = {HVS_TAP_OPS_INIT, .event = on_event};

Test(stats, the_tap_sees_packets_as_they_are_in_the_ring)
{
	/* Completion, header of 16 bytes, 80 bytes in all. */
	static const uint8_t head[] = {0x0b, 0, 2, 0, 10, 0, 0, 0};
	struct hvs_vmbus *bus = hvs_loopback_bus(s.lb);
	struct seen seen = {0};

	cr_assert_eq(hvs_vmbus_set_tap(bus, &tap_ops, &seen), 0);
	stor_do_good(&s, 0, stor_ready(0));
	cr_assert_eq(seen.packets[0], 1);
	cr_assert_eq(seen.packets[1], 1);
	cr_assert_eq(seen.len, 80);
	cr_assert_arr_eq(seen.bytes, head, sizeof(head));
	cr_assert_eq(hvs_vmbus_set_tap(bus, NULL, NULL), 0);
	stor_do_good(&s, 0, stor_ready(0));
	cr_assert_eq(seen.packets[0], 1);
}

Test(stats, the_tap_sees_messages_both_ways)
{
	struct seen seen = {0};

	cr_assert_eq(hvs_vmbus_set_tap(hvs_loopback_bus(s.lb), &tap_ops, &seen), 0);
	cr_assert_eq(hvs_guest_unload(s.guest), 0);
	cr_assert_eq(seen.messages, 2);
	cr_assert_eq(hvs_vmbus_set_tap(hvs_loopback_bus(s.lb), NULL, NULL), 0);
	memset(s.ch, 0, sizeof(s.ch));
}

Test(stats, there_is_one_tap)
{
	struct hvs_tap_ops none = {HVS_TAP_OPS_INIT};
	struct hvs_vmbus *bus = hvs_loopback_bus(s.lb);
	struct seen seen = {0};

	cr_assert_eq(hvs_vmbus_set_tap(NULL, &tap_ops, &seen), -EINVAL);
	cr_assert_eq(hvs_vmbus_set_tap(bus, &none, &seen), -EINVAL);
	cr_assert_eq(hvs_vmbus_set_tap(bus, &tap_ops, &seen), 0);
	cr_assert_eq(hvs_vmbus_set_tap(bus, &tap_ops, &seen), -EEXIST);
	cr_assert_eq(hvs_vmbus_set_tap(bus, NULL, NULL), 0);
	cr_assert_eq(hvs_vmbus_set_tap(bus, NULL, NULL), 0);
}
