// SPDX-License-Identifier: MIT
use crate::*;
use std::os::raw::{c_int, c_short, c_void};

header! {
    "event2/event.h";
    opaque {
        timeval;
    }
    constants {
        EV_TIMEOUT: u32 = 0x1;
        EVLOOP_ONCE: u32 = 0x1;
        EVLOOP_NONBLOCK: u32 = 0x2;
        EVLOOP_NO_EXIT_ON_EMPTY: u32 = 0x4;
    }
    functions {
        fn event_base_new() -> *mut event_base;
        fn event_base_once(
            base: *mut event_base,
            fd: c_int,
            events: c_short,
            callback: Option<unsafe extern "C" fn(c_int, c_short, *mut c_void)>,
            arg: *mut c_void,
            timeout: *const timeval,
        ) -> c_int;
        fn event_base_free(base: *mut event_base);
        fn event_base_loop(base: *mut event_base, flags: c_int) -> c_int;
        fn event_base_loopbreak(base: *mut event_base) -> c_int;
    }
}
