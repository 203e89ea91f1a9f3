/* SPDX-License-Identifier: MIT */
#ifndef HVSTACK_VERSION_H
#define HVSTACK_VERSION_H

#include <hvstack/export.h>

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HVS_VERSION_MAJOR 0
#define HVS_VERSION_MINOR 1
#define HVS_VERSION_PATCH 0

/* Version of the library that is running: (major << 16) | (minor << 8) | patch. [any] */
HVS_API uint32_t hvs_version(void);

#ifdef __cplusplus
}
#endif
#endif
