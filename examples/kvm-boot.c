/* SPDX-License-Identifier: MIT */
#include "kvm-boot.h"

#include <elf.h>
#include <err.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <unistd.h>

static void read_at(int fd, void *to, size_t len, uint64_t offset)
{
	if (pread(fd, to, len, (off_t)offset) != (ssize_t)len)
		errx(1, "not an ELF program");
}

static uint64_t load(unsigned char *ram, uint64_t ram_bytes, const char *path)
{
	const int fd = open(path, O_RDONLY);
	Elf64_Ehdr head;
	Elf64_Phdr part;

	if (fd < 0)
		err(1, "%s", path);
	read_at(fd, &head, sizeof(head), 0);
	for (unsigned i = 0; i < head.e_phnum; i++) {
		read_at(fd, &part, sizeof(part), head.e_phoff + i * sizeof(part));
		if (part.p_type != PT_LOAD)
			continue;
		if (part.p_paddr > ram_bytes || part.p_filesz > ram_bytes - part.p_paddr)
			errx(1, "%s: does not fit", path);
		read_at(fd, ram + part.p_paddr, part.p_filesz, part.p_offset);
	}
	close(fd);
	return head.e_entry;
}

/* 64-bit mode, with addresses as they are. */
static void set_registers(int vcpu, unsigned char *ram, uint64_t ram_bytes, uint64_t entry)
{
	const struct kvm_segment data = {
		.limit = ~0u, .selector = 16, .type = 3, .present = 1, .db = 1, .s = 1, .g = 1};
	const struct kvm_regs regs = {.rip = entry, .rsp = ram_bytes - 8, .rflags = 2};
	uint64_t *tables = (uint64_t *)(ram + 0x1000); /* three levels; pages of 2 MiB */
	struct kvm_sregs s;

	tables[0] = 0x2003;
	tables[512] = 0x3003;
	for (uint64_t i = 0; i < ram_bytes >> 21; i++)
		tables[1024 + i] = i << 21 | 0x83;
	if (ioctl(vcpu, KVM_GET_SREGS, &s) < 0)
		err(1, "KVM_GET_SREGS");
	s.ds = s.es = s.ss = data;
	s.cs = data;
	s.cs.selector = 8;
	s.cs.type = 11;
	s.cs.db = 0;
	s.cs.l = 1;
	s.cr0 = 0x80000033;
	s.cr3 = 0x1000;
	s.cr4 = 0x620;
	s.efer = 0x500;
	if (ioctl(vcpu, KVM_SET_SREGS, &s) < 0 || ioctl(vcpu, KVM_SET_REGS, &regs) < 0)
		err(1, "registers");
}

void kvm_boot(int vcpu, unsigned char *ram, uint64_t ram_bytes, const char *path)
{
	set_registers(vcpu, ram, ram_bytes, load(ram, ram_bytes, path));
}
