// SPDX-License-Identifier: MIT
use std::os::raw::{c_char, c_int};

header! {
    "hvstack/guestos.h";
    structs {
        hvs_guest_os {
            size: u32;
            present: bool;
            open_source: bool;
            vendor: u16;
            r#type: u8;
            major: u32;
            minor: u32;
            patch: u32;
            build: u16;
            name: *const c_char;
        }
    }
    functions {
        fn hvs_guest_os_decode(id: u64, os: *mut hvs_guest_os) -> c_int;
    }
}
