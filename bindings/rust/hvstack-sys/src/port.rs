// SPDX-License-Identifier: MIT
use std::os::raw::c_uint;

header! {
    "hvstack/port.h";
    enums {
        hvs_port_vlan: c_uint {
            HVS_PORT_VLAN_TRANSPARENT = 0;
            HVS_PORT_VLAN_ACCESS = 1;
            HVS_PORT_VLAN_TRUNK = 2;
        }
        hvs_port_action: c_uint {
            HVS_PORT_ALLOW = 1;
            HVS_PORT_DENY = 2;
            HVS_PORT_METER = 3;
        }
        hvs_port_direction: c_uint {
            HVS_PORT_IN = 1;
            HVS_PORT_OUT = 2;
            HVS_PORT_BOTH = 3;
        }
        hvs_port_address_kind: c_uint {
            HVS_PORT_ANY = 0;
            HVS_PORT_MAC = 1;
            HVS_PORT_IP4 = 2;
            HVS_PORT_IP6 = 3;
        }
    }
    constants {
        HVS_PORT_MAC_SPOOFING: u32 = 0x1;
        HVS_PORT_DHCP_GUARD: u32 = 0x2;
        HVS_PORT_ROUTER_GUARD: u32 = 0x4;
        HVS_PORT_PRIORITY_TAG: u32 = 0x8;
        HVS_PORT_QUARANTINE: u32 = 0x10;
        HVS_PORT_MAX_RULES: u32 = 1024;
    }
    structs {
        hvs_port_address {
            kind: u8;
            prefix: u8;
            reserved: [u8; 2];
            bytes: [u8; 16];
        }
        hvs_port_rule {
            action: u8;
            direction: u8;
            reserved: [u8; 2];
            local: hvs_port_address;
            remote: hvs_port_address;
        }
        hvs_port_policy {
            size: u32;
            flags: u32;
            vlan: u32;
            vlan_id: u16;
            reserved: u16;
            trunk: [u64; 64];
            max_bits_per_second: u64;
            max_storm_frames: u32;
            rule_count: u32;
            rules: *const hvs_port_rule;
            remediation: *const hvs_port_address;
            remediation_count: u32;
            reserved2: u32;
        }
        hvs_port_counters {
            quarantine: u64;
            mac_spoofing: u64;
            vlan: u64;
            dhcp_guard: u64;
            router_guard: u64;
            denied: u64;
            storm: u64;
            metered_out_frames: u64;
            metered_out_bytes: u64;
            metered_in_frames: u64;
            metered_in_bytes: u64;
        }
    }
}
