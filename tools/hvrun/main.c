/* SPDX-License-Identifier: MIT */
/*
 * hvrun: a small VMM for Linux guests on KVM, with Hyper-V devices from libhvstack. The reference
 * for authors of VMMs: read hyperv.h and hyperv.c for the integration, machine.c and vcpu.c for
 * where it is called.
 */
#include "boot_linux.h"
#include "machine.h"
#include "options.h"
#include "report.h"

int main(int argc, char **argv)
{
	struct linux_image image;
	struct machine machine;
	struct options opt;
	int status;

	status = options_parse(&opt, argc, argv);
	if (status || opt.done)
		return status;

	status = linux_image_open(&image, &opt);
	if (status)
		goto close_image;
	status = machine_create(&machine, &opt);
	if (!status)
		status = linux_image_boot(&image, &machine);
	if (!status)
		status = machine_run(&machine);
	machine_destroy(&machine);
close_image:
	linux_image_close(&image);
	return status;
}
