/* SPDX-License-Identifier: MIT */
/* Built without libcrypto: there are no backups. */
#include <hvstack/host/backup.h>

#include <errno.h>
#include <stddef.h>

int hvs_backup_start(const struct hvs_backup_config *cfg, struct hvs_backup **out)
{
	(void)cfg;
	(void)out;
	return -ENOTSUP;
}

const struct hvs_guid *hvs_backup_id(const struct hvs_backup *backup)
{
	(void)backup;
	return NULL;
}

int hvs_backup_get_progress(const struct hvs_backup *backup, struct hvs_backup_progress *progress)
{
	(void)backup;
	(void)progress;
	return -EINVAL;
}

void hvs_backup_cancel(struct hvs_backup *backup)
{
	(void)backup;
}

void hvs_backup_vss_gone(struct hvs_backup *backup)
{
	(void)backup;
}

void hvs_backup_destroy(struct hvs_backup *backup)
{
	(void)backup;
}

int hvs_manager_backup_create(const struct hvs_manager_backup_config *cfg,
			      struct hvs_manager_backup **out)
{
	(void)cfg;
	(void)out;
	return -ENOTSUP;
}

void hvs_manager_backup_vss_gone(struct hvs_manager_backup *mb)
{
	(void)mb;
}

void hvs_manager_backup_end(struct hvs_manager_backup *mb)
{
	(void)mb;
}

void hvs_manager_backup_destroy(struct hvs_manager_backup *mb)
{
	(void)mb;
}
