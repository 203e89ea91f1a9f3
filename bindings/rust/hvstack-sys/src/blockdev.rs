// SPDX-License-Identifier: MIT
use crate::*;
use std::os::raw::{c_int, c_uint, c_void};

header! {
    "hvstack/blockdev.h";
    enums {
        hvs_blk_op: c_uint {
            HVS_BLK_READ = 1;
            HVS_BLK_WRITE = 2;
            HVS_BLK_FLUSH = 3;
            HVS_BLK_UNMAP = 4;
            HVS_BLK_WRITE_ZEROES = 5;
            HVS_BLK_LBA_STATUS = 6;
        }
        hvs_blk_status: c_uint {
            HVS_BLK_OK = 0;
            HVS_BLK_IO_ERROR = 1;
            HVS_BLK_RANGE = 2;
            HVS_BLK_READ_ONLY = 3;
            HVS_BLK_NO_SPACE = 4;
            HVS_BLK_GONE = 5;
            HVS_BLK_ABORTED = 6;
            HVS_BLK_UNSUPPORTED = 7;
        }
    }
    constants {
        HVS_BLK_FUA: u32 = 0x1;
        HVS_BLK_MAY_UNMAP: u32 = 0x2;
        HVS_BLK_INFO_READ_ONLY: u32 = 0x1;
        HVS_BLK_INFO_FUA: u32 = 0x2;
        HVS_BLK_INFO_WRITE_BACK: u32 = 0x4;
        HVS_BLK_INFO_UNMAP: u32 = 0x8;
        HVS_BLK_INFO_UNMAP_ZEROES: u32 = 0x10;
        HVS_BLK_INFO_WRITE_ZEROES: u32 = 0x20;
        HVS_BLK_INFO_LBA_STATUS: u32 = 0x40;
        HVS_BLK_ANY_QUEUE: u32 = 4294967295;
    }
    structs {
        hvs_blk_req {
            size: u32;
            op: hvs_blk_op;
            flags: u32;
            queue: u32;
            iovcnt: c_uint;
            extent_unmapped: bool;
            reserved: [u8; 3];
            offset: u64;
            len: u64;
            iov: *const iovec;
            backend_priv: [*mut c_void; 2];
            done: Option<unsafe extern "C" fn(*mut hvs_blk_req, hvs_blk_status)>;
            extent_len: u64;
        }
        hvs_blk_info {
            size: u32;
            flags: u32;
            block_size: u32;
            physical_block_size: u32;
            num_blocks: u64;
            unmap_granularity: u32;
            max_queues: u32;
        }
        hvs_blk_ops {
            size: u32;
            reserved: u32;
            get_info: Option<unsafe extern "C" fn(*mut c_void, *mut hvs_blk_info) -> c_int>;
            submit: Option<unsafe extern "C" fn(*mut c_void, *mut hvs_blk_req)>;
            commit: Option<unsafe extern "C" fn(*mut c_void, u32)>;
            cancel: Option<unsafe extern "C" fn(*mut c_void, *mut hvs_blk_req)>;
        }
        hvs_memdisk {
            size: u32;
            flags: u32;
            data: *mut c_void;
            len: u64;
            block_size: u32;
            reserved: u32;
        }
    }
    functions {
        fn hvs_blk_complete(req: *mut hvs_blk_req, status: hvs_blk_status);
        fn hvs_memdisk_ops() -> *const hvs_blk_ops;
    }
}
