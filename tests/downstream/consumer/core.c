/* SPDX-License-Identifier: MIT */
/* A program that uses the installed core library: makes a bus for a VM without a guest. */
#include <hvstack/hvstack.h>

#include <stdio.h>
#include <stdlib.h>

static int post(void *be, uint32_t vp, uint8_t sint, const struct hvs_synic_msg *msg)
{
	(void)be;
	(void)vp;
	(void)sint;
	(void)msg;
	return 0;
}

static void signal_event(void *be, uint32_t vp, uint8_t sint, uint16_t flag)
{
	(void)be;
	(void)vp;
	(void)sint;
	(void)flag;
}

static void wake(void *be, struct hvs_worker *worker, void *worker_priv)
{
	(void)be;
	(void)worker;
	(void)worker_priv;
}

static uint64_t now(void *be)
{
	(void)be;
	return 1;
}

static int fail(const char *what, int err)
{
	fprintf(stderr, "%s: %d\n", what, err);
	return 1;
}

int main(void)
{
	const uint32_t headers =
		HVS_VERSION_MAJOR << 16 | HVS_VERSION_MINOR << 8 | HVS_VERSION_PATCH;
	const size_t ram_len = 1 << 20;
	struct hvs_backend_ops ops = {
		HVS_BACKEND_OPS_INIT, .synic_post = post, .synic_signal = signal_event,
		.wake = wake,         .now_ns = now,
	};
	struct hvs_vmbus_config cfg = {HVS_VMBUS_CONFIG_INIT, .vp_count = 1};
	struct hvs_vmbus *bus;
	struct hvs_mem *mem;
	void *ram;
	int err;

	if (hvs_version() != headers)
		return fail("hvs_version", (int)hvs_version());
	ram = aligned_alloc(4096, ram_len);
	if (!ram)
		return fail("aligned_alloc", 0);
	err = hvs_mem_create(NULL, &mem);
	if (err)
		return fail("hvs_mem_create", err);
	err = hvs_mem_add(mem, 0, ram_len, ram, HVS_RDWR);
	if (err)
		return fail("hvs_mem_add", err);
	err = hvs_vmbus_create(&cfg, mem, &ops, NULL, &bus);
	if (err)
		return fail("hvs_vmbus_create", err);
	if (hvs_vmbus_guest_version(bus) != 0)
		return fail("hvs_vmbus_guest_version", 1);
	hvs_vmbus_destroy(bus);
	hvs_mem_destroy(mem);
	free(ram);
	printf("core %u.%u.%u\n", headers >> 16, headers >> 8 & 0xff, headers & 0xff);
	return 0;
}
