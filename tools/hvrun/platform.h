/* SPDX-License-Identifier: MIT */
/* The few legacy PC devices that a kernel can't do without and KVM does not have. */
#ifndef HVRUN_PLATFORM_H
#define HVRUN_PLATFORM_H

#include <stdint.h>

struct machine;

/* Ports and values that the ACPI tables tell the guest about. */
#define PM1_EVENT_PORT 0x600u   /* status, enable: 2 bytes each */
#define PM1_CONTROL_PORT 0x604u /* 2 bytes */
#define PM_TIMER_PORT 0x608u    /* 4 bytes */
#define RESET_PORT 0xcf9u
#define RESET_VALUE 0x06u
#define RTC_CENTURY_INDEX 0x32u
#define SLEEP_TYPE_S5 5u /* as in dsdt.asl */

struct platform {
	struct machine *machine;
	_Atomic uint16_t pm1_enable;
	_Atomic uint16_t pm1_control;
	_Atomic uint8_t rtc_index;
	_Atomic uint8_t rtc_control; /* register B */
};

void platform_init(struct platform *platform, struct machine *machine);

#endif
