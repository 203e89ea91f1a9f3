/* SPDX-License-Identifier: MIT */
/* Storage from the guest's command to the disk and back, over the loopback. */
#include "support/machine.h"

#include <criterion/criterion.h>

Test(storage, reads_back_what_was_written)
{
	struct machine m = machine_up(NULL);
	uint64_t gpa;
	uint8_t *buf = hvs_loopback_alloc_pages(m.lb, 16, &gpa);
	struct hvs_guest_scsi_result r;

	for (unsigned i = 0; i < 65536; i++)
		buf[i] = (uint8_t)(i * 7 + i / 251);
	r = scsi_rw(&m, OP_WRITE10, 100, 128, gpa);
	cr_assert_eq(r.srb_status, SRB_SUCCESS);
	cr_assert_eq(r.transferred, 65536);
	cr_assert_arr_eq(m.disk + 100 * 512, buf, 65536);
	memset(buf, 0, 65536);
	r = scsi_rw(&m, OP_READ10, 100, 128, gpa);
	cr_assert_eq(r.srb_status, SRB_SUCCESS);
	cr_assert_arr_eq(m.disk + 100 * 512, buf, 65536);
	machine_down(&m);
}
