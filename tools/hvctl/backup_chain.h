/* SPDX-License-Identifier: MIT */
#ifndef HVCTL_BACKUP_CHAIN_H
#define HVCTL_BACKUP_CHAIN_H

#include "hvctl.h"

/* Commands. */
int backup_verify(struct ctl *ctl, int argc, char **argv);
int backup_restore(struct ctl *ctl, int argc, char **argv);
int backup_list(struct ctl *ctl, int argc, char **argv);

#endif
