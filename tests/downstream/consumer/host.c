/* SPDX-License-Identifier: MIT */
/* A program that uses the installed host library. */
#include <hvstack/host/filedisk.h>
#include <hvstack/host/kvm.h>
#include <hvstack/host/loop.h>
#include <hvstack/host/nbddisk.h>
#include <hvstack/hvstack.h>

#include <inttypes.h>
#include <stdio.h>

int main(void)
{
	const uint64_t before = hvs_loop_now_ns();
	const uint64_t after = hvs_loop_now_ns();

	hvs_loop_destroy(NULL);
	hvs_kvm_destroy(NULL);
	hvs_nbddisk_close(NULL);
	printf("host %#" PRIx32 "\n", hvs_version());
	return after < before;
}
