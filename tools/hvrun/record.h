/* SPDX-License-Identifier: MIT */
/* What the guest says to the Hyper-V devices, as lines of text; the man page has the format. */
#ifndef HVRUN_RECORD_H
#define HVRUN_RECORD_H

struct hvs_record;
struct record;

/* Truncates the file. 0 or the exit status to end with. */
int record_open(const char *path, struct record **out);

/* One line. Any thread. */
void record_write(struct record *record, const struct hvs_record *rec);

/* Says so if the file could not be written. NULL is allowed. */
void record_close(struct record *record);

#endif
