/* SPDX-License-Identifier: MIT */
/* The value of --services. */
#ifndef HVRUN_SERVICE_OPTION_H
#define HVRUN_SERVICE_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "all", "none", or names separated by commas; *services becomes HVS_SERVICE() bits. False: why says
 * what is wrong. */
bool service_option_parse(const char *text, uint32_t *services, char *why, size_t why_len);

#endif
