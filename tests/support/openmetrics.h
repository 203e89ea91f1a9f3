/* SPDX-License-Identifier: MIT */
/* A strict reader of OpenMetrics text. */
#ifndef TESTS_SUPPORT_OPENMETRICS_H
#define TESTS_SUPPORT_OPENMETRICS_H

/*
 * Fails the test unless text keeps to the format: families of TYPE, HELP and UNIT and then samples,
 * none of them twice, names with the suffix of their type, labels quoted as they must be, "# EOF".
 */
void openmetrics_check(const char *text);

/* The value of a sample, given as it is written: "name{label=\"x\"}"; which must be there. */
double openmetrics_value(const char *text, const char *sample);

#endif
