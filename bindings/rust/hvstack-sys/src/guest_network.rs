// SPDX-License-Identifier: MIT
use crate::*;
use std::os::raw::{c_int, c_uint, c_void};

header! {
    "hvstack/guest/network.h";
    opaque {
        hvs_guest_net;
    }
    enums {
        hvs_guest_net_end: c_uint {
            HVS_GUEST_NET_REVOKE = 0;
            HVS_GUEST_NET_CLOSE = 1;
            HVS_GUEST_NET_TEAR_DOWN = 2;
            HVS_GUEST_NET_FORGET = 3;
        }
    }
    constants {
        HVS_GUEST_NET_NO_SECTION: u32 = 0xffffffff;
    }
    structs {
        hvs_guest_net_frame {
            channel: c_uint;
            data: *const u8;
            len: u32;
            csum: u32;
            tagged: bool;
            vlan: u32;
            hash_info: u32;
            hash: u32;
            parts: c_uint;
        }
        hvs_guest_net_config {
            size: u32;
            version: u32;
            frame_bytes: u32;
            reserved: u32;
            capabilities: u64;
            receive_bytes: u32;
            send_bytes: u32;
            ring_bytes: u32;
            reserved2: u32;
            received: Option<unsafe extern "C" fn(*mut c_void, *const hvs_guest_net_frame)>;
            sent: Option<unsafe extern "C" fn(*mut c_void, c_uint, u64, u32)>;
            indicated: Option<unsafe extern "C" fn(*mut c_void, u32, *const c_void, u32)>;
            told: Option<unsafe extern "C" fn(*mut c_void, *const c_void, u32)>;
            arg: *mut c_void;
        }
        hvs_guest_net_info {
            size: u32;
            slot_bytes: u32;
            slot_count: u32;
            section_bytes: u32;
            section_count: u32;
            channels: u32;
            receive: *mut u8;
            send: *mut u8;
        }
        hvs_guest_net_ppi {
            r#type: u32;
            value: u32;
        }
        hvs_guest_net_packet {
            data: *const c_void;
            len: u32;
            ppi: *const hvs_guest_net_ppi;
            ppi_count: c_uint;
            pad: u32;
        }
    }
    functions {
        fn hvs_guest_net_open(
            ch: *mut hvs_guest_channel,
            cfg: *const hvs_guest_net_config,
            out: *mut *mut hvs_guest_net,
        ) -> c_int;
        fn hvs_guest_net_close(net: *mut hvs_guest_net, how: hvs_guest_net_end) -> c_int;
        fn hvs_guest_net_get_info(
            net: *const hvs_guest_net,
            info: *mut hvs_guest_net_info,
        ) -> c_int;
        fn hvs_guest_net_channel(net: *mut hvs_guest_net, n: c_uint) -> *mut hvs_guest_channel;
        fn hvs_guest_net_control(
            net: *mut hvs_guest_net,
            msg: *const c_void,
            msg_len: u32,
            reply: *mut c_void,
            len: *mut u32,
        ) -> c_int;
        fn hvs_guest_net_initialize(net: *mut hvs_guest_net) -> c_int;
        fn hvs_guest_net_halt(net: *mut hvs_guest_net) -> c_int;
        fn hvs_guest_net_query(
            net: *mut hvs_guest_net,
            oid: u32,
            r#in: *const c_void,
            in_len: u32,
            status: *mut u32,
            out: *mut c_void,
            len: *mut u32,
        ) -> c_int;
        fn hvs_guest_net_set(
            net: *mut hvs_guest_net,
            oid: u32,
            r#in: *const c_void,
            in_len: u32,
            status: *mut u32,
        ) -> c_int;
        fn hvs_guest_net_set_filter(net: *mut hvs_guest_net, filter: u32) -> c_int;
        fn hvs_guest_net_set_rss(
            net: *mut hvs_guest_net,
            hash: u32,
            key: *const u8,
            table: *const u32,
            entries: u16,
        ) -> c_int;
        fn hvs_guest_net_open_subchannels(net: *mut hvs_guest_net, count: c_uint) -> c_int;
        fn hvs_guest_net_build(to: *mut c_void, room: u32, p: *const hvs_guest_net_packet) -> u32;
        fn hvs_guest_net_transmit(
            net: *mut hvs_guest_net,
            channel: c_uint,
            xid: u64,
            section: u32,
            section_bytes: u32,
            ranges: *const hvs_guest_buffer,
            range_count: c_uint,
        ) -> c_int;
        fn hvs_guest_net_section(net: *mut hvs_guest_net, section: u32) -> *mut u8;
        fn hvs_guest_net_send(
            net: *mut hvs_guest_net,
            channel: c_uint,
            xid: u64,
            p: *const hvs_guest_net_packet,
            count: c_uint,
        ) -> c_int;
        fn hvs_guest_net_poll(net: *mut hvs_guest_net) -> c_int;
        fn hvs_guest_net_hold(net: *mut hvs_guest_net, hold: bool) -> c_int;
    }
}
