// SPDX-License-Identifier: MIT
use crate::*;
use std::os::raw::{c_char, c_int, c_uint, c_void};

header! {
    "hvstack/host/manager.h";
    opaque {
        evbuffer;
        hvs_call;
    }
    enums {
        hvs_role: c_uint {
            HVS_ROLE_NONE = 0;
            HVS_ROLE_MONITOR = 1;
            HVS_ROLE_BACKUP = 2;
            HVS_ROLE_OPERATOR = 4;
            HVS_ROLE_ADMINISTRATOR = 8;
        }
        hvs_manager_log: c_uint {
            HVS_MANAGER_ALLOWED = 1;
            HVS_MANAGER_DENIED = 2;
            HVS_MANAGER_CLIENT = 3;
        }
        hvs_call_error: c_int {
            HVS_CALL_INVALID_PARAMS = -32602;
            HVS_CALL_INTERNAL = -32603;
            HVS_CALL_DENIED = 1;
            HVS_CALL_NOT_FOUND = 2;
            HVS_CALL_EXISTS = 3;
            HVS_CALL_BUSY = 4;
            HVS_CALL_NOT_READY = 5;
            HVS_CALL_GUEST_ERROR = 6;
            HVS_CALL_GUEST_TIMEOUT = 7;
            HVS_CALL_GONE = 8;
            HVS_CALL_NOT_SUPPORTED = 9;
            HVS_CALL_FAILED = 10;
            HVS_CALL_TOO_MANY = 11;
            HVS_CALL_CANCELLED = 12;
        }
    }
    constants {
        HVS_ROLES_INSPECT: u32 = 0xf;
        HVS_ROLES_BACKUP: u32 = 10;
        HVS_ROLES_OPERATE: u32 = 12;
        HVS_ROLES_ADMINISTER: u32 = 0x8;
    }
    callbacks {
        fn hvs_client_left_fn(arg: *mut c_void, client: u64);
    }
    structs {
        hvs_role_rule {
            group: bool;
            id: u32;
            role: hvs_role;
        }
        hvs_manager_config {
            size: u32;
            rule_count: u32;
            base: *mut event_base;
            socket_path: *const c_char;
            rules: *const hvs_role_rule;
            server: *const c_char;
            name: *const c_char;
            uuid: hvs_guid;
            max_clients: u32;
            max_line_bytes: u32;
            max_calls: u32;
            max_calls_per_s: u32;
            log: Option<unsafe extern "C" fn(*mut c_void, hvs_manager_log, *const c_char)>;
            arg: *mut c_void;
        }
        hvs_manager_machine_ops {
            size: u32;
            reserved: u32;
            state: Option<unsafe extern "C" fn(*mut c_void) -> *const c_char>;
            guest_os_id: Option<unsafe extern "C" fn(*mut c_void) -> u64>;
            vmbus_version: Option<unsafe extern "C" fn(*mut c_void) -> u32>;
            enable_service: Option<unsafe extern "C" fn(*mut c_void, hvs_ic_kind, bool) -> c_int>;
            find_net: Option<
                unsafe extern "C" fn(
                    *mut c_void,
                    *const c_char,
                    *mut u8,
                    *mut hvs_guid,
                ) -> bool,
            >;
            devices: Option<unsafe extern "C" fn(*mut c_void, *mut json_object, *mut json_object)>;
            metrics: Option<unsafe extern "C" fn(*mut c_void, *mut evbuffer)>;
        }
        hvs_method {
            name: *const c_char;
            roles: u32;
            reserved: u32;
            run: Option<unsafe extern "C" fn(*mut c_void, *mut hvs_call)>;
        }
    }
    functions {
        fn hvs_role_rules_read(
            path: *const c_char,
            rules: *mut *mut hvs_role_rule,
            count: *mut u32,
            why: *mut c_char,
            why_len: usize,
        ) -> c_int;
        fn hvs_manager_create(cfg: *const hvs_manager_config, out: *mut *mut hvs_manager) -> c_int;
        fn hvs_manager_destroy(m: *mut hvs_manager);
        fn hvs_manager_add_ic(m: *mut hvs_manager, ic: *mut hvs_ic) -> c_int;
        fn hvs_manager_remove_ic(m: *mut hvs_manager, kind: hvs_ic_kind);
        fn hvs_manager_ic_event(m: *mut hvs_manager, ic: *mut hvs_ic, event: hvs_ic_event);
        fn hvs_manager_set_guestinfo(m: *mut hvs_manager, g: *mut hvs_guestinfo);
        fn hvs_manager_kvp_changed(
            m: *mut hvs_manager,
            pool: hvs_kvp_pool,
            key: *const c_char,
            value: *const c_char,
        );
        fn hvs_manager_kvp_changes_end(m: *mut hvs_manager, pool: hvs_kvp_pool);
        fn hvs_manager_set_machine(
            m: *mut hvs_manager,
            ops: *const hvs_manager_machine_ops,
            arg: *mut c_void,
        ) -> c_int;
        fn hvs_manager_set_bus(m: *mut hvs_manager, bus: *mut hvs_vmbus);
        fn hvs_metrics_label(out: *mut evbuffer, text: *const c_char);
        fn hvs_metrics_family(
            out: *mut evbuffer,
            name: *const c_char,
            r#type: *const c_char,
            unit: *const c_char,
            help: *const c_char,
        );
        fn hvs_metrics_latency(
            out: *mut evbuffer,
            name: *const c_char,
            labels: *const c_char,
            latency: *const hvs_latency,
        );
        fn hvs_manager_add_methods(
            m: *mut hvs_manager,
            methods: *const hvs_method,
            count: u32,
            arg: *mut c_void,
        ) -> c_int;
        fn hvs_manager_event(m: *mut hvs_manager, event: *const c_char, params: *mut json_object);
        fn hvs_call_params(call: *const hvs_call) -> *mut json_object;
        fn hvs_call_return(call: *mut hvs_call, result: *mut json_object);
        fn hvs_call_fail_ic(
            call: *mut hvs_call,
            what: *const c_char,
            status: c_int,
            guest_status: u32,
        );
        fn hvs_call_client(call: *const hvs_call) -> u64;
        fn hvs_manager_has_client(m: *const hvs_manager, client: u64) -> bool;
        fn hvs_manager_on_client_left(
            m: *mut hvs_manager,
            r#fn: hvs_client_left_fn,
            arg: *mut c_void,
        ) -> c_int;
        fn hvs_call_take_fd(call: *mut hvs_call, index: c_uint) -> c_int;
        fn hvs_call_string(
            call: *mut hvs_call,
            name: *const c_char,
            required: bool,
            value: *mut *const c_char,
        ) -> bool;
        fn hvs_call_number(
            call: *mut hvs_call,
            name: *const c_char,
            required: bool,
            max: u64,
            value: *mut u64,
        ) -> bool;
        fn hvs_call_bool(
            call: *mut hvs_call,
            name: *const c_char,
            required: bool,
            value: *mut bool,
        ) -> bool;
        fn hvs_call_only(call: *mut hvs_call, names: *const *const c_char) -> bool;
    }
}
