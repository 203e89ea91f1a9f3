// SPDX-License-Identifier: MIT
use std::os::raw::{c_int, c_void};

header! {
    "hvstack/reservation.h";
    constants {
        HVS_RESERVATION_BYTES: u32 = 8256;
    }
    structs {
        hvs_reservation_ops {
            size: u32;
            reserved: u32;
            generation: Option<unsafe extern "C" fn(*mut c_void) -> u64>;
            read: Option<unsafe extern "C" fn(*mut c_void, *mut c_void, *mut u64) -> c_int>;
            update: Option<
                unsafe extern "C" fn(
                    *mut c_void,
                    Option<unsafe extern "C" fn(*mut c_void,
                    *mut c_void) -> c_int>,
                    *mut c_void,
                ) -> c_int,
            >;
        }
    }
    functions {
        fn hvs_reservation_power_on(state: *mut c_void) -> c_int;
    }
}
