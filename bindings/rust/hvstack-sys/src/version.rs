// SPDX-License-Identifier: MIT
header! {
    "hvstack/version.h";
    constants {
        HVS_VERSION_MAJOR: u32 = 0;
        HVS_VERSION_MINOR: u32 = 1;
        HVS_VERSION_PATCH: u32 = 0;
    }
    functions {
        fn hvs_version() -> u32;
    }
}
