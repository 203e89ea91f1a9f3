/* SPDX-License-Identifier: MIT */
#ifndef HVSI_HOST_FOLDER_H
#define HVSI_HOST_FOLDER_H

/* Have a file's new name last, too. As far as possible: its folder may be one that can be written to,
 * but not opened. */
void hvsi_sync_folder(const char *path);

#endif
