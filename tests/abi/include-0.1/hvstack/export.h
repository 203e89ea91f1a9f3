/* SPDX-License-Identifier: MIT */
/* Compiler attributes used by every public header. */
#ifndef HVSTACK_EXPORT_H
#define HVSTACK_EXPORT_H

#if defined(__GNUC__)
/* Exported by the library. */
#define HVS_API __attribute__((visibility("default")))
/* The compiler warns if the result is not looked at. */
#define HVS_NODISCARD __attribute__((warn_unused_result))
/* Arguments as those of printf(). */
#define HVS_PRINTF(format_arg, first_arg) __attribute__((format(printf, format_arg, first_arg)))
#else
#define HVS_API
#define HVS_NODISCARD
#define HVS_PRINTF(format_arg, first_arg)
#endif

#endif
