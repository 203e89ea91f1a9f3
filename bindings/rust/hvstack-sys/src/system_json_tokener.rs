// SPDX-License-Identifier: MIT
use crate::*;
use std::os::raw::c_char;

header! {
    "json-c/json_tokener.h";
    functions {
        fn json_tokener_parse(str: *const c_char) -> *mut json_object;
    }
}
