// SPDX-License-Identifier: MIT
use crate::*;
use std::os::raw::{c_char, c_int, c_uint, c_void};

header! {
    "hvstack/channel.h";
    enums {
        hvs_packet_type: c_uint {
            HVS_PACKET_INBAND = 6;
            HVS_PACKET_TRANSFER_PAGES = 7;
            HVS_PACKET_GPA_DIRECT = 9;
            HVS_PACKET_COMPLETION = 11;
        }
    }
    constants {
        HVS_OFFER_INTERFACE: u32 = 0x1;
        HVS_OFFER_SOCKET: u32 = 0x2000;
        HVS_OFFER_PIPE: u32 = 0x10;
        HVS_PAGE_RANGES_MAX: u32 = 512;
    }
    structs {
        hvs_open_params {
            subchannel: u16;
            target_vp: u32;
            send_ring_bytes: u32;
            recv_ring_bytes: u32;
            user_data: [u8; 120];
        }
        hvs_vsp_ops {
            size: u32;
            reserved: u32;
            open: Option<
                unsafe extern "C" fn(
                    *mut c_void,
                    *mut hvs_channel,
                    *const hvs_open_params,
                    *mut *mut c_void,
                ) -> c_int,
            >;
            ready: Option<unsafe extern "C" fn(*mut hvs_channel, *mut c_void, c_uint) -> bool>;
            close: Option<unsafe extern "C" fn(*mut hvs_channel, *mut c_void)>;
            destroy: Option<unsafe extern "C" fn(*mut c_void)>;
            save: Option<
                unsafe extern "C" fn(
                    *mut hvs_channel,
                    *mut c_void,
                    *mut hvs_state_writer,
                ) -> c_int,
            >;
            restore: Option<
                unsafe extern "C" fn(
                    *mut c_void,
                    *mut hvs_channel,
                    *const hvs_open_params,
                    *mut hvs_state_reader,
                    *mut *mut c_void,
                ) -> c_int,
            >;
            timer: Option<unsafe extern "C" fn(*mut hvs_channel, *mut c_void)>;
        }
        hvs_offer {
            size: u32;
            flags: u32;
            class_id: hvs_guid;
            instance_id: hvs_guid;
            user_data: [u8; 120];
            max_packet_bytes: u32;
            max_subchannels: u16;
            monitor_latency_us: u16;
            worker: *mut hvs_worker;
            subchannel_workers: *const *mut hvs_worker;
            subchannel_worker_count: u32;
            reserved: u32;
        }
        hvs_packet {
            r#type: hvs_packet_type;
            wants_completion: bool;
            len: u32;
            xid: u64;
            data: *const c_void;
            extents: *const hvs_extents;
        }
    }
    functions {
        fn hvs_device_offer(
            bus: *mut hvs_vmbus,
            offer: *const hvs_offer,
            ops: *const hvs_vsp_ops,
            dev: *mut c_void,
            out: *mut *mut hvs_device,
        ) -> c_int;
        fn hvs_device_rescind(d: *mut hvs_device, done: hvs_done_fn, arg: *mut c_void) -> c_int;
        fn hvs_channel_recv(ch: *mut hvs_channel, pkt: *mut *const hvs_packet) -> c_int;
        fn hvs_channel_send(
            ch: *mut hvs_channel,
            xid: u64,
            wants_completion: bool,
            iov: *const iovec,
            iovcnt: c_uint,
        ) -> c_int;
        fn hvs_channel_complete(
            ch: *mut hvs_channel,
            xid: u64,
            iov: *const iovec,
            iovcnt: c_uint,
        ) -> c_int;
        fn hvs_channel_send_pages(
            ch: *mut hvs_channel,
            xid: u64,
            wants_completion: bool,
            pageset_id: u16,
            ranges: *const hvs_page_range,
            range_count: c_uint,
            iov: *const iovec,
            iovcnt: c_uint,
        ) -> c_int;
        fn hvs_channel_has_room(ch: *mut hvs_channel, bytes: u32) -> c_int;
        fn hvs_channel_flush(ch: *mut hvs_channel);
        fn hvs_channel_kick(ch: *mut hvs_channel);
        fn hvs_channel_set_timer(ch: *mut hvs_channel, delay_ns: u64);
        fn hvs_channel_now(ch: *mut hvs_channel) -> u64;
        fn hvs_channel_closed(ch: *mut hvs_channel);
        fn hvs_channel_fault(ch: *mut hvs_channel, r#where: *const c_char);
        fn hvs_channel_offer_subchannels(ch: *mut hvs_channel, count: c_uint) -> c_int;
        fn hvs_channel_id(ch: *const hvs_channel) -> u32;
        fn hvs_extents_len(e: *const hvs_extents) -> u32;
        fn hvs_extents_read(e: *const hvs_extents, off: u32, buf: *mut c_void, len: u32) -> c_int;
        fn hvs_extents_write(
            e: *const hvs_extents,
            off: u32,
            buf: *const c_void,
            len: u32,
        ) -> c_int;
        fn hvs_extents_map(
            e: *const hvs_extents,
            off: u32,
            len: u32,
            access: hvs_access,
            out: *mut *mut hvs_map,
        ) -> c_int;
        fn hvs_map_iov(map: *const hvs_map, iovcnt: *mut c_uint) -> *const iovec;
        fn hvs_map_put(map: *mut hvs_map);
        fn hvs_channel_gpadl_get(ch: *mut hvs_channel, id: u32, out: *mut *mut hvs_gpadl) -> c_int;
        fn hvs_gpadl_extents(g: *const hvs_gpadl) -> *const hvs_extents;
        fn hvs_gpadl_put(g: *mut hvs_gpadl);
    }
}
