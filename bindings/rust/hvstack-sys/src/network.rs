// SPDX-License-Identifier: MIT
use crate::*;
use std::os::raw::{c_char, c_int, c_uint, c_void};

header! {
    "hvstack/network.h";
    opaque {
        hvs_nic;
    }
    enums {
        hvs_net_status: c_uint {
            HVS_NET_OK = 0;
            HVS_NET_DROPPED = 1;
            HVS_NET_ERROR = 2;
        }
    }
    constants {
        HVS_NET_HEADER_BYTES: u32 = 14;
        HVS_NET_MAX_MTU: u32 = 9202;
        HVS_NET_MAX_FRAME: u32 = 65553;
        HVS_NET_MAX_COPIED: u32 = 256;
        HVS_NET_CSUM: u32 = 0x1;
        HVS_NET_TSO: u32 = 0x2;
        HVS_NET_USO: u32 = 0x4;
        HVS_NET_VLAN: u32 = 0x8;
        HVS_NET_CSUM_GOOD: u32 = 0x10;
        HVS_NET_BATCH: u32 = 64;
    }
    structs {
        hvs_net_frame {
            size: u32;
            flags: u32;
            len: u32;
            l3_off: u16;
            l4_off: u16;
            payload_off: u16;
            mss: u16;
            vlan_tci: u16;
            iovcnt: u16;
            iov: *const iovec;
            backend_priv: [*mut c_void; 2];
        }
        hvs_net_info {
            size: u32;
            offloads: u32;
            mtu: u32;
            max_queues: u32;
            bits_per_second: u64;
            link_down: bool;
            reserved: [u8; 7];
        }
        hvs_net_ops {
            size: u32;
            reserved: u32;
            get_info: Option<unsafe extern "C" fn(*mut c_void, *mut hvs_net_info) -> c_int>;
            tx: Option<unsafe extern "C" fn(*mut c_void, u32, *const *mut hvs_net_frame, c_uint)>;
            rx_room: Option<unsafe extern "C" fn(*mut c_void, u32)>;
            rx_wanted: Option<unsafe extern "C" fn(*mut c_void, bool)>;
            attach: Option<unsafe extern "C" fn(*mut c_void, *mut hvs_nic)>;
            detach: Option<unsafe extern "C" fn(*mut c_void)>;
        }
        hvs_nic_config {
            size: u32;
            max_version: u32;
            instance_id: hvs_guid;
            worker: *mut hvs_worker;
            max_subchannels: u32;
            subchannel_worker_count: u32;
            subchannel_workers: *const *mut hvs_worker;
            mac: [u8; 6];
            reserved: [u8; 2];
            name: [c_char; 64];
            mac_changed: Option<unsafe extern "C" fn(*mut c_void, *mut hvs_nic, *const u8)>;
            vf_in_use: Option<unsafe extern "C" fn(*mut c_void, *mut hvs_nic, bool)>;
            arg: *mut c_void;
        }
        hvs_net_monitor_ops {
            size: u32;
            reserved: u32;
            frame: Option<unsafe extern "C" fn(*mut c_void, u32, bool, *const hvs_net_frame)>;
        }
        hvs_nic_counters {
            size: u32;
            reserved: u32;
            from_frames: u64;
            from_bytes: u64;
            from_dropped: u64;
            from_malformed: u64;
            to_frames: u64;
            to_bytes: u64;
            to_unwanted: u64;
            to_no_room: u64;
            to_too_long: u64;
            port: hvs_port_counters;
        }
        hvs_nic_status {
            size: u32;
            version: u32;
            channels: u32;
            mtu: u32;
            filter: u32;
            mac: [u8; 6];
            link_up: bool;
            vf: bool;
        }
    }
    functions {
        fn hvs_nic_create(
            bus: *mut hvs_vmbus,
            cfg: *const hvs_nic_config,
            ops: *const hvs_net_ops,
            net: *mut c_void,
            out: *mut *mut hvs_nic,
        ) -> c_int;
        fn hvs_nic_remove(nic: *mut hvs_nic, done: hvs_done_fn, arg: *mut c_void) -> c_int;
        fn hvs_nic_tx_done(
            nic: *mut hvs_nic,
            frames: *const *mut hvs_net_frame,
            n: c_uint,
            status: hvs_net_status,
        );
        fn hvs_nic_rx(
            nic: *mut hvs_nic,
            queue: u32,
            frames: *const *const hvs_net_frame,
            n: c_uint,
        ) -> c_uint;
        fn hvs_nic_set_link(nic: *mut hvs_nic, up: bool, bits_per_second: u64);
        fn hvs_nic_network_changed(nic: *mut hvs_nic);
        fn hvs_nic_set_policy(nic: *mut hvs_nic, policy: *const hvs_port_policy) -> c_int;
        fn hvs_nic_set_vf(nic: *mut hvs_nic, allocated: bool, serial: u32);
        fn hvs_nic_set_monitor(
            nic: *mut hvs_nic,
            ops: *const hvs_net_monitor_ops,
            arg: *mut c_void,
        ) -> c_int;
        fn hvs_nic_get_counters(nic: *const hvs_nic, counters: *mut hvs_nic_counters) -> c_int;
        fn hvs_nic_get_status(nic: *const hvs_nic, status: *mut hvs_nic_status) -> c_int;
    }
}
