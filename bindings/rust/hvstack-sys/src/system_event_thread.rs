// SPDX-License-Identifier: MIT
use std::os::raw::c_int;

header! {
    "event2/thread.h";
    functions {
        fn evthread_use_pthreads() -> c_int;
    }
}
