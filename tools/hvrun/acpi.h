/* SPDX-License-Identifier: MIT */
/* The ACPI tables, written into guest RAM as firmware would. */
#ifndef HVRUN_ACPI_H
#define HVRUN_ACPI_H

#include <stdint.h>

struct machine;

/* In the area that a guest searches if nobody tells it; the root pointer comes first. */
#define ACPI_AREA_START UINT32_C(0xe0000)
#define ACPI_AREA_END UINT32_C(0x100000)
#define ACPI_RSDP_GPA ACPI_AREA_START

void acpi_write_tables(const struct machine *machine);

#endif
