/* SPDX-License-Identifier: MIT */
/* Exit statuses and error messages. */
#ifndef HVRUN_REPORT_H
#define HVRUN_REPORT_H

/*
 * Functions that can fail print what is wrong and return the exit status to end with; 0 is
 * success. Keep in step with --help.
 */
enum hvrun_status {
	HVRUN_POWERED_OFF = 0,
	HVRUN_USAGE = 2,
	HVRUN_REBOOTED = 10,
	HVRUN_CRASHED = 11,
	HVRUN_TRIPLE_FAULT = 12,
	HVRUN_VMM_ERROR = 13,
	HVRUN_STOPPED = 14,
};

/* Print "hvrun: ..." as one line on stderr. Returns status, for `return report(...)`. */
__attribute__((format(printf, 2, 3))) int report(enum hvrun_status status, const char *fmt, ...);

#endif
