// SPDX-License-Identifier: MIT
use crate::*;
use std::os::raw::{c_int, c_uint, c_void};

header! {
    "hvstack/hv.h";
    enums {
        hvs_hv_status: c_uint {
            HVS_HV_STATUS_SUCCESS = 0;
            HVS_HV_STATUS_INVALID_HYPERCALL_CODE = 2;
            HVS_HV_STATUS_INVALID_HYPERCALL_INPUT = 3;
            HVS_HV_STATUS_INVALID_ALIGNMENT = 4;
            HVS_HV_STATUS_INSUFFICIENT_MEMORY = 11;
            HVS_HV_STATUS_INVALID_CONNECTION_ID = 18;
            HVS_HV_STATUS_INSUFFICIENT_BUFFERS = 19;
        }
    }
    constants {
        HVS_HV_MSR_FIRST: u32 = 0x40000000;
        HVS_HV_MSR_LAST: u32 = 0x400001ff;
        HVS_HV_CPUID_FIRST: u32 = 0x40000000;
        HVS_HV_CPUID_LAST: u32 = 0x40000006;
        HVS_HV_EXTERNAL_SINTS: u32 = 0x1;
        HVS_HV_INVARIANT_TSC: u32 = 0x2;
    }
    structs {
        hvs_hv_crash {
            param: [u64; 5];
            control: u64;
        }
        hvs_hv_ops {
            size: u32;
            reserved: u32;
            interrupt: Option<unsafe extern "C" fn(*mut c_void, u32, u8, u8)>;
            now_ns: Option<unsafe extern "C" fn(*mut c_void) -> u64>;
            post_message: Option<
                unsafe extern "C" fn(
                    *mut c_void,
                    u32,
                    u32,
                    *const c_void,
                    usize,
                ) -> u16,
            >;
            signal_event: Option<unsafe extern "C" fn(*mut c_void, u32, u16) -> u16>;
            slot_free: Option<unsafe extern "C" fn(*mut c_void, u32)>;
            read_tsc: Option<unsafe extern "C" fn(*mut c_void, u32) -> u64>;
            crash: Option<unsafe extern "C" fn(*mut c_void, u32, *const hvs_hv_crash)>;
            get_register: Option<unsafe extern "C" fn(*mut c_void, u32, u32, *mut u64) -> c_int>;
            set_register: Option<unsafe extern "C" fn(*mut c_void, u32, u32, u64) -> c_int>;
            record: Option<unsafe extern "C" fn(*mut c_void, *const hvs_record)>;
        }
        hvs_hv_config {
            size: u32;
            flags: u32;
            vp_count: u32;
            hypercall_port: u16;
            signal_port: u16;
            tsc_hz: u64;
            apic_hz: u64;
            extra_privileges: u32;
            extra_features: u32;
            alloc: hvs_allocator;
        }
    }
    functions {
        fn hvs_hv_create(
            cfg: *const hvs_hv_config,
            mem: *mut hvs_mem,
            ops: *const hvs_hv_ops,
            be: *mut c_void,
            out: *mut *mut hvs_hv,
        ) -> c_int;
        fn hvs_hv_destroy(hv: *mut hvs_hv);
        fn hvs_hv_cpuid(hv: *const hvs_hv, leaf: u32, regs: *mut u32) -> c_int;
        fn hvs_hv_msr_read(hv: *mut hvs_hv, vp: u32, msr: u32, value: *mut u64) -> c_int;
        fn hvs_hv_msr_write(
            hv: *mut hvs_hv,
            vp: u32,
            msr: u32,
            value: u64,
            long_mode: bool,
        ) -> c_int;
        fn hvs_hv_hypercall(
            hv: *mut hvs_hv,
            vp: u32,
            input: u64,
            param_in: u64,
            param_out: u64,
        ) -> u64;
        fn hvs_hv_synic_update(
            hv: *mut hvs_hv,
            vp: u32,
            scontrol: u64,
            siefp: u64,
            simp: u64,
        ) -> c_int;
        fn hvs_hv_post(hv: *mut hvs_hv, vp: u32, sint: u8, msg: *const hvs_synic_msg) -> c_int;
        fn hvs_hv_signal(hv: *mut hvs_hv, vp: u32, sint: u8, flag: u16);
        fn hvs_hv_reset(hv: *mut hvs_hv);
        fn hvs_hv_reference_time(hv: *const hvs_hv) -> u64;
        fn hvs_hv_guest_os_id(hv: *const hvs_hv) -> u64;
    }
}
