/* SPDX-License-Identifier: MIT */
/*
 * Probes for tracers (USDT): HVSI_PROBEn(name, n arguments) is a nop with a note that says where it is
 * and where its arguments are. docs/observability.md lists them all; a test compares.
 */
#ifndef HVSI_UTIL_PROBE_H
#define HVSI_UTIL_PROBE_H

#if defined(HVSI_WITH_USDT) && HVSI_WITH_USDT
#include <sys/sdt.h>

#if defined(__clang__) /* that header's macros, where they are used */
#pragma clang diagnostic ignored "-Wgnu-zero-variadic-macro-arguments"
#endif

#define HVSI_PROBE1(name, a) STAP_PROBE1(hvstack, name, a)
#define HVSI_PROBE2(name, a, b) STAP_PROBE2(hvstack, name, a, b)
#define HVSI_PROBE3(name, a, b, c) STAP_PROBE3(hvstack, name, a, b, c)
#define HVSI_PROBE4(name, a, b, c, d) STAP_PROBE4(hvstack, name, a, b, c, d)
#define HVSI_PROBE6(name, a, b, c, d, e, f) STAP_PROBE6(hvstack, name, a, b, c, d, e, f)
#else
#define HVSI_PROBE1(name, a) ((void)(a))
#define HVSI_PROBE2(name, a, b) ((void)(a), (void)(b))
#define HVSI_PROBE3(name, a, b, c) ((void)(a), (void)(b), (void)(c))
#define HVSI_PROBE4(name, a, b, c, d) ((void)(a), (void)(b), (void)(c), (void)(d))
#define HVSI_PROBE6(name, a, b, c, d, e, f)                                                        \
	((void)(a), (void)(b), (void)(c), (void)(d), (void)(e), (void)(f))
#endif

#endif
