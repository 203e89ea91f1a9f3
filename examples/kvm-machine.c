/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* MAP_ANONYMOUS, pread */
#include "kvm-machine.h"

#include <elf.h>
#include <err.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static int check(int result, const char *what)
{
	if (result < 0)
		err(1, "%s", what);
	return result;
}

static void *map(size_t len, int flags, int fd)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (p == MAP_FAILED)
		err(1, "no memory");
	return p;
}

void machine_create(struct machine *m, uint64_t ram_bytes)
{
	struct kvm_userspace_memory_region slot = {.memory_size = ram_bytes};

	m->kvm = check(open("/dev/kvm", O_RDWR), "/dev/kvm");
	m->vm = check(ioctl(m->kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	check(ioctl(m->vm, KVM_SET_TSS_ADDR, 0xfffbd000), "KVM_SET_TSS_ADDR");
	check(ioctl(m->vm, KVM_CREATE_IRQCHIP), "KVM_CREATE_IRQCHIP");
	m->ram_bytes = ram_bytes;
	m->ram = map(ram_bytes, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	slot.userspace_addr = (uintptr_t)m->ram;
	check(ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &slot), "KVM_SET_USER_MEMORY_REGION");
	m->cpuid = calloc(1, sizeof(*m->cpuid) + CPUID_MAX * sizeof(m->cpuid->entries[0]));
	if (!m->cpuid)
		err(1, "no memory");
	m->cpuid->nent = CPUID_MAX;
	check(ioctl(m->kvm, KVM_GET_SUPPORTED_CPUID, m->cpuid), "KVM_GET_SUPPORTED_CPUID");
}

void machine_create_vcpu(struct machine *m)
{
	const int len = check(ioctl(m->kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");

	m->vcpu = check(ioctl(m->vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
	m->run = map((size_t)len, MAP_SHARED, m->vcpu);
	check(ioctl(m->vcpu, KVM_SET_CPUID2, m->cpuid), "KVM_SET_CPUID2");
}

static void read_at(int fd, void *to, size_t len, uint64_t offset)
{
	if (pread(fd, to, len, (off_t)offset) != (ssize_t)len)
		errx(1, "not an ELF program");
}

static uint64_t load(struct machine *m, const char *path)
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
		if (part.p_paddr > m->ram_bytes || part.p_filesz > m->ram_bytes - part.p_paddr)
			errx(1, "%s: does not fit", path);
		read_at(fd, m->ram + part.p_paddr, part.p_filesz, part.p_offset);
	}
	close(fd);
	return head.e_entry;
}

/* 64-bit mode, with addresses as they are. */
static void set_registers(struct machine *m, uint64_t entry)
{
	const struct kvm_segment data = {
		.limit = ~0u, .selector = 16, .type = 3, .present = 1, .db = 1, .s = 1, .g = 1};
	const struct kvm_regs regs = {.rip = entry, .rsp = m->ram_bytes - 8, .rflags = 2};
	uint64_t *tables = (void *)(m->ram + 0x1000); /* three levels; pages of 2 MiB */
	struct kvm_sregs s;

	tables[0] = 0x2003;
	tables[512] = 0x3003;
	for (uint64_t i = 0; i < m->ram_bytes >> 21; i++)
		tables[1024 + i] = i << 21 | 0x83;
	if (ioctl(m->vcpu, KVM_GET_SREGS, &s) < 0)
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
	if (ioctl(m->vcpu, KVM_SET_SREGS, &s) < 0 || ioctl(m->vcpu, KVM_SET_REGS, &regs) < 0)
		err(1, "registers");
}

void machine_load(struct machine *m, const char *path)
{
	set_registers(m, load(m, path));
}
