// SPDX-License-Identifier: MIT
use crate::*;
use std::os::raw::{c_int, c_uint, c_void};

header! {
    "hvstack/host/kvm.h";
    opaque {
        kvm_cpuid2;
        kvm_run;
        hvs_kvm;
    }
    enums {
        hvs_kvm_synic: c_uint {
            HVS_KVM_SYNIC_AUTO = 0;
            HVS_KVM_SYNIC_KERNEL = 1;
            HVS_KVM_SYNIC_USER = 2;
        }
    }
    structs {
        hvs_kvm_config {
            size: u32;
            vm_fd: c_int;
            vcpu_count: u32;
            synic: hvs_kvm_synic;
            base: *mut event_base;
            log_level: hvs_log_level;
            log: Option<unsafe extern "C" fn(*mut c_void, *const hvs_log_record)>;
            guest_fault: Option<unsafe extern "C" fn(*mut c_void, *const hvs_guest_fault)>;
            crash: Option<unsafe extern "C" fn(*mut c_void, u32, *const hvs_hv_crash)>;
            arg: *mut c_void;
            add_sint_route: Option<unsafe extern "C" fn(*mut c_void, u32, u8, *mut u32) -> c_int>;
            record: Option<unsafe extern "C" fn(*mut c_void, *const hvs_record)>;
            connect_request: Option<
                unsafe extern "C" fn(
                    *mut c_void,
                    *const hvs_connect_request,
                ) -> c_int,
            >;
            bus: *const hvs_vmbus_config;
        }
    }
    functions {
        fn hvs_kvm_create(cfg: *const hvs_kvm_config, out: *mut *mut hvs_kvm) -> c_int;
        fn hvs_kvm_destroy(kvm: *mut hvs_kvm);
        fn hvs_kvm_bus(kvm: *mut hvs_kvm) -> *mut hvs_vmbus;
        fn hvs_kvm_mem(kvm: *mut hvs_kvm) -> *mut hvs_mem;
        fn hvs_kvm_synic_in_use(kvm: *const hvs_kvm) -> hvs_kvm_synic;
        fn hvs_kvm_cpuid(kvm: *mut hvs_kvm, cpuid: *mut kvm_cpuid2, max: c_uint) -> c_int;
        fn hvs_kvm_vcpu_init(kvm: *mut hvs_kvm, vp: u32, vcpu_fd: c_int) -> c_int;
        fn hvs_kvm_handle_exit(kvm: *mut hvs_kvm, vp: u32, run: *mut kvm_run) -> c_int;
        fn hvs_kvm_drain(kvm: *mut hvs_kvm) -> c_int;
        fn hvs_kvm_reset(kvm: *mut hvs_kvm) -> c_int;
        fn hvs_kvm_guest_os_id(kvm: *const hvs_kvm) -> u64;
        fn hvs_kvm_reference_time(kvm: *mut hvs_kvm, reference: *mut u64) -> c_int;
        fn hvs_kvm_sample_time(
            kvm: *mut hvs_kvm,
            host_time: *mut u64,
            reference: *mut u64,
        ) -> c_int;
    }
}
