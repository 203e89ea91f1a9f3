// SPDX-License-Identifier: MIT
use crate::*;
use std::os::raw::c_char;

header! {
    "json-c/json_object.h";
    functions {
        fn json_object_to_json_string(obj: *mut json_object) -> *const c_char;
    }
}
