/* SPDX-License-Identifier: MIT */
/* Backups: which disks, and whose service. */
#include "control.h"
#include "disks.h"

#include <errno.h>
#include <hvstack/host/backup.h>
#include <hvstack/host/services.h>

static bool find_disk(void *arg, const char *id, struct hvs_backup_disk *disk)
{
	const struct control_config *cfg = arg;

	disk->snapshot = disks_snapshot(cfg->disks, id, &disk->block_size);
	return disk->snapshot != NULL;
}

static struct hvs_ic *vss(void *arg)
{
	const struct control_config *cfg = arg;

	return hvs_services_get(cfg->services, HVS_IC_VSS);
}

int control_add_backup(struct hvs_manager *manager, const struct control_config *cfg,
		       struct hvs_manager_backup **backup)
{
	const struct hvs_manager_backup_ops ops = {HVS_MANAGER_BACKUP_OPS_INIT,
						   .find_disk = find_disk, .vss = vss};
	struct hvs_manager_backup_config backup_cfg = {HVS_MANAGER_BACKUP_CONFIG_INIT,
						       .manager = manager,
						       .base = cfg->base,
						       .name = cfg->name,
						       .uuid = cfg->machine_id,
						       .ops = &ops,
						       .arg = (void *)cfg};
	int err = hvs_manager_backup_create(&backup_cfg, backup);
	/* A library without backup serves the rest. */
	return err == -ENOTSUP ? 0 : err;
}
