/* SPDX-License-Identifier: MIT */
/* Commands and mode pages of optical drives. */
#ifndef HVSI_STORAGE_MMC_H
#define HVSI_STORAGE_MMC_H

#include "vsp/storage/storvsp.h"

/* optical.c, mmc_features.c */
enum hvsi_scsi_state hvsi_mmc_start_stop(const struct hvsi_scsi_cmd *cmd);
enum hvsi_scsi_state hvsi_mmc_prevent_allow(const struct hvsi_scsi_cmd *cmd);
enum hvsi_scsi_state hvsi_mmc_get_event_status(const struct hvsi_scsi_cmd *cmd);
enum hvsi_scsi_state hvsi_mmc_mechanism_status(const struct hvsi_scsi_cmd *cmd);
enum hvsi_scsi_state hvsi_mmc_get_configuration(const struct hvsi_scsi_cmd *cmd);
enum hvsi_scsi_state hvsi_mmc_get_performance(const struct hvsi_scsi_cmd *cmd);
enum hvsi_scsi_state hvsi_mmc_set_streaming(const struct hvsi_scsi_cmd *cmd);
enum hvsi_scsi_state hvsi_mmc_read_buffer_capacity(const struct hvsi_scsi_cmd *cmd);

/* Mode pages of a drive. */
#define HVSI_PAGE_RECOVERY 0x01
#define HVSI_PAGE_POWER 0x1a
#define HVSI_PAGE_TIMEOUT 0x1d
#define HVSI_PAGE_CAPABILITIES 0x2a
/* With the header; 0: there is none. */
uint32_t hvsi_mmc_page_len(uint8_t code);
/* Current values into a page of zeros. */
void hvsi_mmc_put_page(struct hvs_disk *disk, uint8_t code, uint8_t *page);

#endif
