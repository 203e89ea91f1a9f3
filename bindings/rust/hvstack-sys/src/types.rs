// SPDX-License-Identifier: MIT
use std::os::raw::{c_int, c_uint, c_void};

header! {
    "hvstack/types.h";
    opaque {
        hvs_mem;
        hvs_hv;
        hvs_vmbus;
        hvs_worker;
        hvs_device;
        hvs_channel;
        hvs_extents;
        hvs_map;
        hvs_gpadl;
    }
    enums {
        hvs_access: c_uint {
            HVS_READ = 1;
            HVS_WRITE = 2;
            HVS_RDWR = 3;
        }
    }
    callbacks {
        fn hvs_done_fn(arg: *mut c_void, status: c_int);
    }
    structs {
        hvs_guid {
            b: [u8; 16];
        }
        hvs_page_range {
            len: u32;
            offset: u32;
        }
        hvs_allocator {
            alloc: Option<unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void>;
            free: Option<unsafe extern "C" fn(*mut c_void, *mut c_void, usize)>;
            arg: *mut c_void;
        }
    }
}
