/* SPDX-License-Identifier: MIT */
/*
 * Linux/x86 boot protocol, 64-bit: long mode with memory identity-mapped, flat segments, interrupts
 * off, the address of a filled-in struct boot_params in RSI.
 */
#include "boot_linux.h"

#include "acpi.h"
#include "machine.h"
#include "options.h"
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Low memory that the kernel takes over from us. */
#define GDT_GPA 0x500u
#define BOOT_PARAMS_GPA 0x7000u
#define PAGE_TABLES_GPA 0x9000u /* PML4, PDPT, four page directories: 4 GiB in pages of 2 MiB */
#define CMDLINE_GPA 0x20000u
#define LOW_MEMORY_END 0x9fc00u

#define SETUP_HEADER_OFFSET 0x1f1u
#define HEADER_MAGIC 0x53726448u /* "HdrS" */
#define MIN_PROTOCOL 0x020cu     /* 2.12: there is a 64-bit entry point */
#define ENTRY_64_OFFSET 0x200u
#define LOADER_UNREGISTERED 0xffu
#define NORMAL_VIDEO_MODE 0xffffu

#define E820_RAM 1u
#define E820_RESERVED 2u

#define PAGE_BYTES UINT64_C(0x1000)
#define PTE_PRESENT_WRITABLE 0x3u
#define PTE_LARGE 0x80u

#define CODE_SELECTOR 0x10u
#define CODE_DESCRIPTOR UINT64_C(0x00af9b000000ffff)
#define DATA_SELECTOR 0x18u
#define DATA_DESCRIPTOR UINT64_C(0x00cf93000000ffff)
#define CR0_PE_ET_PG 0x80000011u
#define CR4_PAE 0x20u
#define EFER_LME_LMA 0x500u
#define RFLAGS_FIXED 0x2u

static int open_file(const char *option, const char *path, int *fd, uint64_t *bytes)
{
	struct stat st;

	*fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (*fd < 0 || fstat(*fd, &st) < 0)
		return report(HVRUN_USAGE, "%s %s: cannot open it: %s", option, path,
			      strerror(errno));
	if (!S_ISREG(st.st_mode) || st.st_size == 0)
		return report(HVRUN_USAGE, "%s %s: %s", option, path,
			      S_ISREG(st.st_mode) ? "is empty" : "not a regular file");
	*bytes = (uint64_t)st.st_size;
	return 0;
}

static int read_header(struct linux_image *image, const char *path, uint64_t file_bytes)
{
	struct setup_header *h = &image->header;
	const ssize_t n = pread(image->kernel_fd, h, sizeof(*h), SETUP_HEADER_OFFSET);

	if (n != (ssize_t)sizeof(*h) || h->header != HEADER_MAGIC)
		return report(HVRUN_USAGE, "--kernel %s: not a Linux bzImage", path);
	if (h->version < MIN_PROTOCOL || !(h->xloadflags & XLF_KERNEL_64) ||
	    !(h->loadflags & LOADED_HIGH))
		return report(HVRUN_USAGE, "--kernel %s: has no 64-bit entry point", path);
	image->kernel_offset = (h->setup_sects ? h->setup_sects + 1u : 5u) * UINT64_C(512);
	if (image->kernel_offset >= file_bytes)
		return report(HVRUN_USAGE, "--kernel %s: cut short", path);
	image->kernel_bytes = file_bytes - image->kernel_offset;
	return 0;
}

/* The kernel goes where it wants to be, the RAM disk as high as it may. */
static int place(struct linux_image *image, const struct options *opt)
{
	const struct setup_header *h = &image->header;
	const uint64_t low_end = opt->memory_bytes < LOW_RAM_END ? opt->memory_bytes : LOW_RAM_END;
	const uint64_t need =
		image->kernel_bytes > h->init_size ? image->kernel_bytes : h->init_size;
	uint64_t initrd_end = (uint64_t)h->initrd_addr_max + 1;
	uint64_t kernel_end;

	image->kernel_gpa = h->pref_address;
	if (image->kernel_gpa >= low_end || need > low_end - image->kernel_gpa)
		return report(HVRUN_USAGE, "the kernel does not fit into memory: raise --memory");
	kernel_end = image->kernel_gpa + need;
	if (initrd_end > low_end)
		initrd_end = low_end;
	if (image->initrd_bytes > initrd_end - PAGE_BYTES ||
	    initrd_end - image->initrd_bytes - PAGE_BYTES < kernel_end)
		return report(HVRUN_USAGE, "--initrd %s: does not fit into memory: raise --memory",
			      opt->initrd);
	image->initrd_gpa = (initrd_end - image->initrd_bytes) & ~(PAGE_BYTES - 1);
	return 0;
}

int linux_image_open(struct linux_image *image, const struct options *opt)
{
	uint64_t file_bytes = 0;
	int status;

	*image = (struct linux_image){.kernel_fd = -1, .initrd_fd = -1, .cmdline = opt->append};
	status = open_file("--kernel", opt->kernel, &image->kernel_fd, &file_bytes);
	if (status)
		return status;
	status = read_header(image, opt->kernel, file_bytes);
	if (status)
		return status;
	if (strlen(opt->append) > image->header.cmdline_size)
		return report(HVRUN_USAGE, "--append: this kernel takes at most %u characters",
			      image->header.cmdline_size);
	if (opt->initrd) {
		status =
			open_file("--initrd", opt->initrd, &image->initrd_fd, &image->initrd_bytes);
		if (status)
			return status;
	}
	return place(image, opt);
}

void linux_image_close(struct linux_image *image)
{
	if (image->kernel_fd >= 0)
		close(image->kernel_fd);
	if (image->initrd_fd >= 0)
		close(image->initrd_fd);
}

static int load(const struct machine *m, const char *what, int fd, uint64_t offset, uint64_t gpa,
		uint64_t bytes)
{
	uint8_t *to = machine_ram(m, gpa, bytes);

	while (to && bytes > 0) {
		const ssize_t n = pread(fd, to, bytes, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		to += n;
		offset += (uint64_t)n;
		bytes -= (uint64_t)n;
	}
	if (!to || bytes > 0)
		return report(HVRUN_VMM_ERROR, "cannot load the %s", what);
	return 0;
}

static void add_e820(struct boot_params *bp, uint64_t start, uint64_t end, uint32_t type)
{
	struct boot_e820_entry *e = &bp->e820_table[bp->e820_entries++];

	e->addr = start;
	e->size = end - start;
	e->type = type;
}

static void write_boot_params(const struct linux_image *image, const struct machine *m)
{
	struct boot_params *bp = machine_ram(m, BOOT_PARAMS_GPA, sizeof(*bp));
	/* The header ends where the jump over it goes. */
	const size_t header_bytes = 0x202 + (image->header.jump >> 8) - SETUP_HEADER_OFFSET;

	memset(bp, 0, sizeof(*bp));
	memcpy(&bp->hdr, &image->header,
	       header_bytes < sizeof(bp->hdr) ? header_bytes : sizeof(bp->hdr));
	bp->hdr.type_of_loader = LOADER_UNREGISTERED;
	bp->hdr.vid_mode = NORMAL_VIDEO_MODE;
	bp->hdr.cmd_line_ptr = CMDLINE_GPA;
	if (image->initrd_bytes > 0) {
		bp->hdr.ramdisk_image = (uint32_t)image->initrd_gpa;
		bp->hdr.ramdisk_size = (uint32_t)image->initrd_bytes;
	}
	bp->acpi_rsdp_addr = ACPI_RSDP_GPA;

	add_e820(bp, 0, LOW_MEMORY_END, E820_RAM);
	add_e820(bp, ACPI_AREA_START, ACPI_AREA_END, E820_RESERVED);
	for (size_t i = 0; i < m->region_count; i++) {
		const struct ram_region *r = &m->regions[i];

		add_e820(bp, i == 0 ? ACPI_AREA_END : r->gpa, r->gpa + r->bytes, E820_RAM);
	}
}

static void write_page_tables(const struct machine *m)
{
	uint64_t *pml4 = machine_ram(m, PAGE_TABLES_GPA, 6 * PAGE_BYTES);
	uint64_t *pdpt = pml4 + 512;
	uint64_t *pd = pdpt + 512;

	pml4[0] = (PAGE_TABLES_GPA + PAGE_BYTES) | PTE_PRESENT_WRITABLE;
	for (uint64_t i = 0; i < 4; i++)
		pdpt[i] = (PAGE_TABLES_GPA + (2 + i) * PAGE_BYTES) | PTE_PRESENT_WRITABLE;
	for (uint64_t i = 0; i < UINT64_C(4) * 512; i++)
		pd[i] = i << 21 | PTE_LARGE | PTE_PRESENT_WRITABLE;
}

/* Flat segments, and the same as the CPU already has them loaded. */
static void set_segments(const struct machine *m, struct kvm_sregs *sregs)
{
	static const uint64_t gdt[] = {0, 0, CODE_DESCRIPTOR, DATA_DESCRIPTOR};
	const struct kvm_segment code = {
		.selector = CODE_SELECTOR,
		.limit = UINT32_MAX,
		.type = 0xb, /* executable, readable, accessed */
		.present = 1,
		.s = 1,
		.l = 1,
		.g = 1,
	};
	struct kvm_segment data = code;

	data.selector = DATA_SELECTOR;
	data.type = 0x3; /* writable, accessed */
	data.l = 0;
	data.db = 1;
	memcpy(machine_ram(m, GDT_GPA, sizeof(gdt)), gdt, sizeof(gdt));
	sregs->gdt.base = GDT_GPA;
	sregs->gdt.limit = sizeof(gdt) - 1;
	sregs->cs = code;
	sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = data;
	sregs->tr = (struct kvm_segment){.limit = 0xffff, .type = 0xb, .present = 1};
}

static int set_registers(const struct linux_image *image, const struct machine *m)
{
	const struct kvm_regs regs = {
		.rip = image->kernel_gpa + ENTRY_64_OFFSET,
		.rsi = BOOT_PARAMS_GPA,
		.rflags = RFLAGS_FIXED,
	};
	const int fd = m->vcpus[0].fd;
	struct kvm_sregs sregs;

	if (ioctl(fd, KVM_GET_SREGS, &sregs) < 0)
		return report(HVRUN_VMM_ERROR, "KVM_GET_SREGS: %s", strerror(errno));
	set_segments(m, &sregs);
	sregs.cr0 = CR0_PE_ET_PG;
	sregs.cr3 = PAGE_TABLES_GPA;
	sregs.cr4 = CR4_PAE;
	sregs.efer = EFER_LME_LMA;
	if (ioctl(fd, KVM_SET_SREGS, &sregs) < 0 || ioctl(fd, KVM_SET_REGS, &regs) < 0)
		return report(HVRUN_VMM_ERROR, "cannot set the registers of vCPU 0: %s",
			      strerror(errno));
	return 0;
}

int linux_image_boot(const struct linux_image *image, struct machine *machine)
{
	const size_t cmdline_bytes = strlen(image->cmdline) + 1;
	int status;

	status = load(machine, "kernel", image->kernel_fd, image->kernel_offset, image->kernel_gpa,
		      image->kernel_bytes);
	if (status)
		return status;
	if (image->initrd_bytes > 0) {
		status = load(machine, "initial RAM disk", image->initrd_fd, 0, image->initrd_gpa,
			      image->initrd_bytes);
		if (status)
			return status;
	}
	memcpy(machine_ram(machine, CMDLINE_GPA, cmdline_bytes), image->cmdline, cmdline_bytes);
	write_boot_params(image, machine);
	write_page_tables(machine);
	acpi_write_tables(machine);
	return set_registers(image, machine);
}
