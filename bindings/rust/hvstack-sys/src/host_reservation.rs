// SPDX-License-Identifier: MIT
use crate::*;
use std::os::raw::{c_char, c_int};

header! {
    "hvstack/host/reservation.h";
    opaque {
        hvs_reservation_file;
    }
    functions {
        fn hvs_reservation_file_ops() -> *const hvs_reservation_ops;
        fn hvs_reservation_file_open(
            path: *const c_char,
            out: *mut *mut hvs_reservation_file,
            why: *mut *const c_char,
        ) -> c_int;
        fn hvs_reservation_file_close(file: *mut hvs_reservation_file);
    }
}
