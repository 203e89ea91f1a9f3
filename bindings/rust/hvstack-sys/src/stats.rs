// SPDX-License-Identifier: MIT
use crate::*;
use std::os::raw::{c_int, c_uint, c_void};

header! {
    "hvstack/stats.h";
    enums {
        hvs_channel_state: c_uint {
            HVS_CHANNEL_WAITING = 0;
            HVS_CHANNEL_OFFERED = 1;
            HVS_CHANNEL_OPEN = 2;
            HVS_CHANNEL_REVOKED = 3;
        }
        hvs_disk_op: c_uint {
            HVS_DISK_READ = 0;
            HVS_DISK_WRITE = 1;
            HVS_DISK_FLUSH = 2;
            HVS_DISK_UNMAP = 3;
            HVS_DISK_OTHER = 4;
        }
        hvs_tap_kind: c_uint {
            HVS_TAP_MESSAGE = 1;
            HVS_TAP_PACKET = 2;
            HVS_TAP_PAYLOAD = 3;
        }
    }
    constants {
        HVS_DISK_OPS: u32 = 5;
        HVS_LATENCY_BUCKETS: u32 = 26;
    }
    callbacks {
        fn hvs_channel_visit_fn(arg: *mut c_void, ch: *mut hvs_channel);
    }
    structs {
        hvs_channel_info {
            size: u32;
            channel_id: u32;
            state: u32;
            flags: u32;
            class_id: hvs_guid;
            instance_id: hvs_guid;
            subchannel: u32;
            target_vp: u32;
            send_ring_bytes: u32;
            recv_ring_bytes: u32;
        }
        hvs_channel_counters {
            size: u32;
            reserved: u32;
            from_packets: u64;
            from_bytes: u64;
            to_packets: u64;
            to_bytes: u64;
            batches: u64;
            signals_sent: u64;
            signals_spared: u64;
            ring_full: u64;
            faults: u64;
        }
        hvs_disk_counters {
            size: u32;
            reserved: u32;
            requests: u64;
            bytes: u64;
            errors: u64;
        }
        hvs_latency {
            size: u32;
            reserved: u32;
            sum_ns: u64;
            bucket: [u64; 26];
        }
        hvs_tap_event {
            kind: hvs_tap_kind;
            to_guest: bool;
            subchannel: u16;
            flags: u32;
            channel_id: u32;
            connection_id: u32;
            class_id: *const hvs_guid;
            instance_id: *const hvs_guid;
            xid: u64;
            iov: *const iovec;
            iovcnt: c_uint;
            len: usize;
        }
        hvs_tap_ops {
            size: u32;
            reserved: u32;
            event: Option<unsafe extern "C" fn(*mut c_void, *const hvs_tap_event)>;
        }
    }
    functions {
        fn hvs_vmbus_visit_channels(
            bus: *mut hvs_vmbus,
            r#fn: hvs_channel_visit_fn,
            arg: *mut c_void,
        );
        fn hvs_channel_get_info(ch: *const hvs_channel, out: *mut hvs_channel_info) -> c_int;
        fn hvs_channel_get_counters(
            ch: *const hvs_channel,
            out: *mut hvs_channel_counters,
        ) -> c_int;
        fn hvs_disk_get_counters(
            disk: *const hvs_disk,
            op: hvs_disk_op,
            out: *mut hvs_disk_counters,
        ) -> c_int;
        fn hvs_latency_bound(bucket: c_uint) -> u64;
        fn hvs_disk_measure_latency(disk: *mut hvs_disk, on: bool) -> c_int;
        fn hvs_disk_get_latency(
            disk: *const hvs_disk,
            op: hvs_disk_op,
            out: *mut hvs_latency,
        ) -> c_int;
        fn hvs_vmbus_set_tap(
            bus: *mut hvs_vmbus,
            ops: *const hvs_tap_ops,
            arg: *mut c_void,
        ) -> c_int;
        fn hvs_channel_tapped(ch: *const hvs_channel) -> bool;
        fn hvs_channel_tap(
            ch: *mut hvs_channel,
            to_guest: bool,
            xid: u64,
            iov: *const iovec,
            iovcnt: c_uint,
            len: usize,
        );
    }
}
