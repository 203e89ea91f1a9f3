// SPDX-License-Identifier: MIT
use crate::*;
use std::os::raw::{c_char, c_int};

header! {
    "hvstack/host/uuid.h";
    constants {
        HVS_GUID_TEXT: u32 = 37;
    }
    functions {
        fn hvs_guid_parse(text: *const c_char, guid: *mut hvs_guid) -> c_int;
        fn hvs_guid_format(guid: *const hvs_guid, text: *mut c_char);
        fn hvs_guid_generate(guid: *mut hvs_guid);
    }
}
