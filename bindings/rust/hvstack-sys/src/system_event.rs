// SPDX-License-Identifier: MIT
use crate::*;
use std::os::raw::c_int;

header! {
    "event2/event.h";
    constants {
        EVLOOP_ONCE: u32 = 0x1;
        EVLOOP_NONBLOCK: u32 = 0x2;
        EVLOOP_NO_EXIT_ON_EMPTY: u32 = 0x4;
    }
    functions {
        fn event_base_new() -> *mut event_base;
        fn event_base_free(base: *mut event_base);
        fn event_base_loop(base: *mut event_base, flags: c_int) -> c_int;
        fn event_base_loopbreak(base: *mut event_base) -> c_int;
    }
}
