// SPDX-License-Identifier: MIT
use crate::*;
use std::os::raw::{c_char, c_int, c_uint, c_void};

header! {
    "hvstack/host/backup.h";
    opaque {
        event_base;
        json_object;
        hvs_backup;
        hvs_snapshot;
        hvs_manager;
        hvs_manager_backup;
    }
    enums {
        hvs_backup_consistency: c_uint {
            HVS_BACKUP_AUTO = 0;
            HVS_BACKUP_APPLICATION = 1;
            HVS_BACKUP_CRASH = 2;
        }
        hvs_backup_phase: c_uint {
            HVS_BACKUP_PREPARING = 1;
            HVS_BACKUP_CHECKING = 2;
            HVS_BACKUP_FREEZING = 3;
            HVS_BACKUP_TAKING = 4;
            HVS_BACKUP_THAWING = 5;
            HVS_BACKUP_COPYING = 6;
            HVS_BACKUP_COMPLETING = 7;
        }
    }
    structs {
        hvs_backup_disk {
            id: *const c_char;
            snapshot: *mut hvs_snapshot;
            image_fd: c_int;
            map_fd: c_int;
            block_size: u32;
            reserved: u32;
        }
        hvs_backup_progress {
            size: u32;
            phase: hvs_backup_phase;
            disk: u32;
            done_bytes: u64;
            total_bytes: u64;
        }
        hvs_backup_result {
            size: u32;
            status: c_int;
            guest_status: u32;
            message: *const c_char;
            manifest: *mut json_object;
            frozen_ms: i64;
            held_us: i64;
        }
        hvs_backup_config {
            size: u32;
            flags: u32;
            base: *mut event_base;
            disks: *const hvs_backup_disk;
            disk_count: u32;
            consistency: hvs_backup_consistency;
            vss: *mut hvs_ic;
            parent: *const hvs_guid;
            max_bytes_per_s: u64;
            machine_uuid: hvs_guid;
            machine_name: *const c_char;
            guest_os: *const c_char;
            progress: Option<
                unsafe extern "C" fn(
                    *mut c_void,
                    *mut hvs_backup,
                    *const hvs_backup_progress,
                ),
            >;
            ended: Option<
                unsafe extern "C" fn(
                    *mut c_void,
                    *mut hvs_backup,
                    *const hvs_backup_result,
                ),
            >;
            arg: *mut c_void;
        }
        hvs_manager_backup_ops {
            size: u32;
            reserved: u32;
            find_disk: Option<
                unsafe extern "C" fn(
                    *mut c_void,
                    *const c_char,
                    *mut hvs_backup_disk,
                ) -> bool,
            >;
            vss: Option<unsafe extern "C" fn(*mut c_void) -> *mut hvs_ic>;
            guest_os: Option<unsafe extern "C" fn(*mut c_void) -> *const c_char>;
        }
        hvs_manager_backup_config {
            size: u32;
            flags: u32;
            manager: *mut hvs_manager;
            base: *mut event_base;
            uuid: hvs_guid;
            name: *const c_char;
            ops: *const hvs_manager_backup_ops;
            arg: *mut c_void;
        }
    }
    functions {
        fn hvs_backup_start(cfg: *const hvs_backup_config, out: *mut *mut hvs_backup) -> c_int;
        fn hvs_backup_id(backup: *const hvs_backup) -> *const hvs_guid;
        fn hvs_backup_get_progress(
            backup: *const hvs_backup,
            progress: *mut hvs_backup_progress,
        ) -> c_int;
        fn hvs_backup_cancel(backup: *mut hvs_backup);
        fn hvs_backup_vss_gone(backup: *mut hvs_backup);
        fn hvs_backup_destroy(backup: *mut hvs_backup);
        fn hvs_manager_backup_create(
            cfg: *const hvs_manager_backup_config,
            out: *mut *mut hvs_manager_backup,
        ) -> c_int;
        fn hvs_manager_backup_vss_gone(mb: *mut hvs_manager_backup);
        fn hvs_manager_backup_end(mb: *mut hvs_manager_backup);
        fn hvs_manager_backup_destroy(mb: *mut hvs_manager_backup);
    }
}
