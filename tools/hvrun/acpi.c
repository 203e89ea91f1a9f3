/* SPDX-License-Identifier: MIT */
/* RSDP -> XSDT -> FADT (-> FACS, DSDT), MADT. The DSDT is compiled from dsdt.asl. */
#include "acpi.h"

#include "machine.h"

#include "dsdt.hex"

#include <assert.h>
#include <string.h>

#define HEADER_BYTES 36
#define CHECKSUM_OFFSET 9
#define RSDP_BYTES 36
#define FACS_BYTES 64
#define FADT_BYTES 276

#define SCI_IRQ 9
#define LOCAL_APIC_GPA 0xfee00000u
#define IO_APIC_GPA 0xfec00000u

enum fadt_flag {
	FADT_WBINVD = 1 << 0,
	FADT_C1 = 1 << 2,
	FADT_NO_POWER_BUTTON = 1 << 4, /* "is a control method device", and there is none */
	FADT_NO_SLEEP_BUTTON = 1 << 5,
	FADT_NO_RTC_WAKE = 1 << 6,
	FADT_TIMER_32_BITS = 1 << 8,
	FADT_RESET_REGISTER = 1 << 10,
	FADT_HEADLESS = 1 << 12,
};

enum fadt_boot_flag {
	BOOT_LEGACY_DEVICES = 1 << 0, /* the serial port; no keyboard controller (bit 1) */
	BOOT_NO_VGA = 1 << 2,
};

/* Appends to the ACPI area. */
struct writer {
	uint8_t *area;
	uint32_t used;
};

static void put(uint8_t *at, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		at[i] = (uint8_t)(value >> 8 * i);
}

static void append(struct writer *w, uint64_t value, unsigned bytes)
{
	assert(w->used + bytes <= ACPI_AREA_END - ACPI_AREA_START);
	put(w->area + w->used, value, bytes);
	w->used += bytes;
}

static uint32_t align(struct writer *w, uint32_t to)
{
	w->used = (w->used + to - 1) & ~(to - 1);
	return ACPI_AREA_START + w->used;
}

static void fix_checksum(uint8_t *table, uint32_t bytes, uint32_t checksum_offset)
{
	uint8_t sum = 0;

	table[checksum_offset] = 0;
	for (uint32_t i = 0; i < bytes; i++)
		sum = (uint8_t)(sum + table[i]);
	table[checksum_offset] = (uint8_t)(0x100 - sum);
}

/* Start a table; returns its address in the guest. */
static uint32_t begin(struct writer *w, const char *signature, uint8_t revision)
{
	const uint32_t gpa = align(w, 16);
	uint8_t *table = w->area + w->used;

	memcpy(table, signature, 4);
	table[8] = revision;
	memcpy(table + 10, "HVSTAKHVRUN   ", 14); /* who made the machine, and which */
	put(table + 24, 1, 4);
	memcpy(table + 28, "HVRN", 4); /* who made the table */
	put(table + 32, 1, 4);
	w->used += HEADER_BYTES;
	return gpa;
}

static void end(struct writer *w, uint32_t gpa)
{
	uint8_t *table = w->area + (gpa - ACPI_AREA_START);
	const uint32_t bytes = ACPI_AREA_START + w->used - gpa;

	put(table + 4, bytes, 4);
	fix_checksum(table, bytes, CHECKSUM_OFFSET);
}

static uint32_t write_dsdt(struct writer *w)
{
	const uint32_t gpa = align(w, 16);

	assert(w->used + sizeof(dsdt_aml_code) <= ACPI_AREA_END - ACPI_AREA_START);
	memcpy(w->area + w->used, dsdt_aml_code, sizeof(dsdt_aml_code));
	w->used += (uint32_t)sizeof(dsdt_aml_code);
	return gpa;
}

static uint32_t write_facs(struct writer *w)
{
	const uint32_t gpa = align(w, 64);
	uint8_t *facs = w->area + w->used;

	memcpy(facs, "FACS", 4);
	put(facs + 4, FACS_BYTES, 4);
	facs[32] = 2; /* version */
	w->used += FACS_BYTES;
	return gpa;
}

/* An I/O port as a generic address structure. */
static void put_port(uint8_t *at, uint16_t port, uint8_t bytes)
{
	at[0] = 1; /* system I/O space */
	at[1] = (uint8_t)(bytes * 8);
	at[3] = bytes == 4 ? 3 : bytes; /* access size: 1 byte, 2 word, 3 dword */
	put(at + 4, port, 8);
}

static uint32_t write_fadt(struct writer *w, uint32_t facs, uint32_t dsdt)
{
	const uint32_t flags = FADT_WBINVD | FADT_C1 | FADT_NO_POWER_BUTTON | FADT_NO_SLEEP_BUTTON |
			       FADT_NO_RTC_WAKE | FADT_TIMER_32_BITS | FADT_RESET_REGISTER |
			       FADT_HEADLESS;
	const uint32_t gpa = begin(w, "FACP", 6);
	uint8_t *t = w->area + (gpa - ACPI_AREA_START);

	put(t + 36, facs, 4);
	put(t + 40, dsdt, 4);
	put(t + 46, SCI_IRQ, 2);
	put(t + 56, PM1_EVENT_PORT, 4);
	put(t + 64, PM1_CONTROL_PORT, 4);
	put(t + 76, PM_TIMER_PORT, 4);
	t[88] = 4;              /* bytes of the PM1 event block */
	t[89] = 2;              /* of the PM1 control block */
	t[91] = 4;              /* of the timer */
	put(t + 96, 0xffff, 2); /* no C2 */
	put(t + 98, 0xffff, 2); /* no C3 */
	t[108] = RTC_CENTURY_INDEX;
	put(t + 109, BOOT_LEGACY_DEVICES | BOOT_NO_VGA, 2);
	put(t + 112, flags, 4);
	put_port(t + 116, RESET_PORT, 1);
	t[128] = RESET_VALUE;
	put(t + 140, dsdt, 8);
	put_port(t + 148, PM1_EVENT_PORT, 4);
	put_port(t + 172, PM1_CONTROL_PORT, 2);
	put_port(t + 208, PM_TIMER_PORT, 4);
	w->used += FADT_BYTES - HEADER_BYTES;
	end(w, gpa);
	return gpa;
}

static uint32_t write_madt(struct writer *w, unsigned vcpu_count)
{
	const uint32_t gpa = begin(w, "APIC", 4);

	append(w, LOCAL_APIC_GPA, 4);
	append(w, 1, 4); /* there are also two 8259 */
	for (uint32_t i = 0; i < vcpu_count; i++) {
		append(w, 0x0800, 2); /* type 0, 8 bytes: local APIC */
		append(w, i, 1);      /* ACPI processor */
		append(w, i, 1);      /* APIC id */
		append(w, 1, 4);      /* enabled */
	}
	append(w, 0x0c01, 2); /* type 1, 12 bytes: I/O APIC */
	append(w, 0, 2);      /* id, reserved */
	append(w, IO_APIC_GPA, 4);
	append(w, 0, 4); /* first GSI */

	/*
	 * ISA IRQs are GSIs of the same number, also the timer: that is KVM's default routing
	 * (a PC's board has the timer on pin 2). Only the SCI differs, in its trigger.
	 */
	append(w, 0x0a02, 2); /* type 2, 10 bytes: interrupt source override */
	append(w, 0, 1);      /* ISA */
	append(w, SCI_IRQ, 1);
	append(w, SCI_IRQ, 4);
	append(w, 0x0d, 2); /* level, active high */

	append(w, 0x0604, 2); /* type 4, 6 bytes: local APIC NMI */
	append(w, 0xff, 1);   /* every processor */
	append(w, 0, 2);      /* polarity and trigger as the bus has them */
	append(w, 1, 1);      /* LINT1 */
	end(w, gpa);
	return gpa;
}

static void write_rsdp(uint8_t *rsdp, uint32_t xsdt)
{
	memcpy(rsdp, "RSD PTR ", 8);
	memcpy(rsdp + 9, "HVSTAK", 6);
	rsdp[15] = 2; /* revision */
	put(rsdp + 20, RSDP_BYTES, 4);
	put(rsdp + 24, xsdt, 8);
	fix_checksum(rsdp, 20, 8);
	fix_checksum(rsdp, RSDP_BYTES, 32);
}

void acpi_write_tables(const struct machine *machine)
{
	struct writer w = {
		.area = machine_ram(machine, ACPI_AREA_START, ACPI_AREA_END - ACPI_AREA_START),
		.used = RSDP_BYTES,
	};
	const uint32_t facs = write_facs(&w);
	const uint32_t dsdt = write_dsdt(&w);
	const uint32_t fadt = write_fadt(&w, facs, dsdt);
	const uint32_t madt = write_madt(&w, machine->vcpu_count);
	const uint32_t xsdt = begin(&w, "XSDT", 1);

	append(&w, fadt, 8);
	append(&w, madt, 8);
	end(&w, xsdt);
	write_rsdp(w.area, xsdt);
}
