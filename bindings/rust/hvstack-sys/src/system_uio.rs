// SPDX-License-Identifier: MIT
use std::os::raw::c_void;

header! {
    "sys/uio.h";
    structs {
        iovec {
            iov_base: *mut c_void;
            iov_len: usize;
        }
    }
}
