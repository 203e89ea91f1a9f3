/* SPDX-License-Identifier: MIT */
/*
 * ACPI power management block (power-off and a timer), reset ports, real-time clock.
 *
 * Nothing here raises an interrupt: there is no power button to press.
 */
#include "platform.h"

#include "machine.h"
#include "ports.h"
#include "report.h"

#include <stdatomic.h>
#include <time.h>

#define PM1_SCI_ENABLE 0x1u
#define PM1_SLEEP_ENABLE 0x2000u
#define PM1_SLEEP_TYPE(control) ((control) >> 10 & 7u)
#define PM_TIMER_HZ 3579545u

#define KEYBOARD_COMMAND_PORT 0x64
#define KEYBOARD_PULSE_RESET 0xfe
#define RESET_CPU 0x04u

#define RTC_INDEX_PORT 0x70

static uint32_t pm_timer(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint32_t)((uint64_t)now.tv_sec * PM_TIMER_HZ +
			  (uint64_t)now.tv_nsec * PM_TIMER_HZ / 1000000000);
}

static uint32_t pm_in(void *device, uint16_t port)
{
	struct platform *pf = device;

	switch (port) {
	case PM1_EVENT_PORT + 2:
		return pf->pm1_enable;
	case PM1_CONTROL_PORT: /* ACPI mode is always on: there is no SMI command to enable it */
		return pf->pm1_control | PM1_SCI_ENABLE;
	case PM_TIMER_PORT:
		return pm_timer();
	default: /* PM1 status: no event is ever pending */
		return 0;
	}
}

static void pm_out(void *device, uint16_t port, uint32_t value)
{
	struct platform *pf = device;

	if (port == PM1_EVENT_PORT + 2)
		pf->pm1_enable = (uint16_t)value;
	if (port != PM1_CONTROL_PORT)
		return;
	pf->pm1_control = (uint16_t)(value & ~PM1_SLEEP_ENABLE);
	if ((value & PM1_SLEEP_ENABLE) && PM1_SLEEP_TYPE(value) == SLEEP_TYPE_S5)
		machine_stop(pf->machine, HVRUN_POWERED_OFF);
}

static uint32_t reset_in(void *device, uint16_t port)
{
	(void)device;
	(void)port;
	return 0; /* as keyboard controller status: ready for a command */
}

static void reset_out(void *device, uint16_t port, uint32_t value)
{
	struct platform *pf = device;

	if (port == RESET_PORT ? (value & RESET_CPU) != 0 : value == KEYBOARD_PULSE_RESET)
		machine_stop(pf->machine, HVRUN_REBOOTED);
}

static uint32_t bcd(int n)
{
	return (uint32_t)(n / 10 * 16 + n % 10);
}

/* No update-in-progress flag: careful readers compare the seconds before and after. */
static uint32_t rtc_in(void *device, uint16_t port)
{
	struct platform *pf = device;
	const time_t now = time(NULL);
	struct tm tm;

	if (port == RTC_INDEX_PORT)
		return UINT32_MAX; /* write only */
	gmtime_r(&now, &tm);
	switch (atomic_load(&pf->rtc_index)) {
	case 0x00:
		return bcd(tm.tm_sec);
	case 0x02:
		return bcd(tm.tm_min);
	case 0x04:
		return bcd(tm.tm_hour);
	case 0x06:
		return bcd(tm.tm_wday + 1);
	case 0x07:
		return bcd(tm.tm_mday);
	case 0x08:
		return bcd(tm.tm_mon + 1);
	case 0x09:
		return bcd(tm.tm_year % 100);
	case RTC_CENTURY_INDEX:
		return bcd((tm.tm_year + 1900) / 100);
	case 0x0a: /* 32768 Hz time base, 1024 Hz rate */
		return 0x26;
	case 0x0b: /* 24 hours, BCD */
		return pf->rtc_control | 0x02u;
	case 0x0d: /* time is valid */
		return 0x80;
	default:
		return 0;
	}
}

static void rtc_out(void *device, uint16_t port, uint32_t value)
{
	struct platform *pf = device;

	if (port == RTC_INDEX_PORT)
		pf->rtc_index = (uint8_t)(value & 0x7f);
	else if (pf->rtc_index == 0x0b)
		pf->rtc_control = (uint8_t)(value & ~0x04u); /* always BCD */
}

void platform_init(struct platform *platform, struct machine *machine)
{
	const struct port_range ranges[] = {
		{PM1_EVENT_PORT, 12, pm_in, pm_out, platform},
		{RESET_PORT, 1, reset_in, reset_out, platform},
		{KEYBOARD_COMMAND_PORT, 1, reset_in, reset_out, platform},
		{RTC_INDEX_PORT, 2, rtc_in, rtc_out, platform},
	};

	*platform = (struct platform){.machine = machine};
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		ports_add(&machine->ports, &ranges[i]);
}
