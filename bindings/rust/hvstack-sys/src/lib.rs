// SPDX-License-Identifier: MIT
//! Declarations of libhvstack's public headers, one module for each header, all names as in C.
//! The headers are the reference: what a function does, which threads may call it, who owns what.
//!
//! They are written by hand. `cargo test` compares each type, member, constant and function with
//! the headers, in both directions. Use the crate `hvstack` unless you need something that it does
//! not have.
#![deny(missing_docs)]
#![allow(non_camel_case_types)]

#[cfg(test)]
mod check;

/// What one public header declares. In test builds also a list of it, for the comparison.
macro_rules! header {
    (
        $header:literal;
        $(opaque { $($opaque:ident;)* })?
        $(enums { $($enum:ident: $repr:ty { $($value:ident = $number:expr;)* })* })?
        $(constants { $($constant:ident: $constant_type:ty = $constant_value:expr;)* })?
        $(callbacks {
            $(fn $callback:ident($($callback_arg:ident: $callback_type:ty),* $(,)?)
                $(-> $callback_return:ty)?;)*
        })?
        $(structs { $($struct:ident { $($field:ident: $field_type:ty;)* })* })?
        $(functions {
            $(fn $function:ident($($arg:ident: $arg_type:ty),* $(,)?) $(-> $return:ty)?;)*
        })?
    ) => {
        $($(
            #[doc = concat!("`struct ", stringify!($opaque), "` of `", $header, "`.")]
            #[repr(C)]
            pub struct $opaque {
                _private: [u8; 0],
                _marker: std::marker::PhantomData<(*mut u8, std::marker::PhantomPinned)>,
            }
        )*)?
        $($(
            #[doc = concat!("`enum ", stringify!($enum), "` of `", $header, "`.")]
            pub type $enum = $repr;
            $(
                #[doc = concat!("Of `", $header, "`.")]
                pub const $value: $enum = $number;
            )*
        )*)?
        $($(
            #[doc = concat!("Of `", $header, "`.")]
            pub const $constant: $constant_type = $constant_value;
        )*)?
        $($(
            #[doc = concat!("Of `", $header, "`.")]
            pub type $callback =
                Option<unsafe extern "C" fn($($callback_type),*) $(-> $callback_return)?>;
        )*)?
        $($(
            #[doc = concat!("`struct ", stringify!($struct), "` of `", $header, "`.")]
            #[repr(C)]
            #[derive(Clone, Copy)]
            pub struct $struct {
                $(
                    #[doc = concat!("See `", $header, "`.")]
                    pub $field: $field_type,
                )*
            }
        )*)?
        extern "C" {
            $($(
                #[doc = concat!("Of `", $header, "`.")]
                pub fn $function($($arg: $arg_type),*) $(-> $return)?;
            )*)?
        }

        #[cfg(test)]
        pub(crate) fn declared() -> crate::check::Header {
            #[allow(unused_mut)]
            let mut h = crate::check::Header::new($header);
            $($(h.opaque.push(stringify!($opaque));)*)?
            $($(h.enums.push(crate::check::Enum {
                name: stringify!($enum),
                size: std::mem::size_of::<$enum>(),
                signed: <$repr>::MIN != 0,
                values: vec![$((stringify!($value), i128::from($value))),*],
            });)*)?
            $($(h.constants.push((stringify!($constant), i128::from($constant)));)*)?
            $($(h.callbacks.push(crate::check::Function {
                name: stringify!($callback),
                args: vec![$(stringify!($callback_type)),*],
                result: concat!($(stringify!($callback_return))?),
            });)*)?
            $($(h.structs.push(crate::check::Struct {
                name: stringify!($struct),
                size: std::mem::size_of::<$struct>(),
                fields: {
                    let s = std::mem::MaybeUninit::<$struct>::uninit();
                    let p = s.as_ptr();
                    vec![$(crate::check::Field {
                        name: stringify!($field),
                        of: stringify!($field_type),
                        // SAFETY: no member is read.
                        offset: unsafe { std::ptr::addr_of!((*p).$field) } as usize - p as usize,
                        size: std::mem::size_of::<$field_type>(),
                    }),*]
                },
            });)*)?
            $($(
                h.functions.push(crate::check::Function {
                    name: stringify!($function),
                    args: vec![$(stringify!($arg_type)),*],
                    result: concat!($(stringify!($return))?),
                });
                h.addresses.push($function as *const () as usize);
            )*)?
            h
        }
    };
}

macro_rules! headers {
    ($($(#[$condition:meta])* $module:ident;)*) => {
        $($(#[$condition])* mod $module; $(#[$condition])* pub use $module::*;)*

        #[cfg(test)]
        fn headers() -> Vec<check::Header> {
            vec![$($(#[$condition])* $module::declared()),*]
        }
    };
}

headers! {
    backend;
    blockdev;
    channel;
    filecopy;
    #[cfg(feature = "guest")]
    guest_guest;
    #[cfg(feature = "guest")]
    guest_ic;
    #[cfg(feature = "guest")]
    guest_loopback;
    #[cfg(feature = "guest")]
    guest_network;
    #[cfg(feature = "guest")]
    guest_storage;
    guestos;
    #[cfg(feature = "host")]
    host_backup;
    #[cfg(feature = "host")]
    host_capture;
    #[cfg(feature = "host")]
    host_fault;
    #[cfg(feature = "host")]
    host_filedisk;
    #[cfg(feature = "host")]
    host_guestinfo;
    #[cfg(feature = "host")]
    host_kvm;
    #[cfg(feature = "host")]
    host_limit;
    #[cfg(feature = "host")]
    host_loop;
    #[cfg(feature = "host")]
    host_manager;
    #[cfg(feature = "host")]
    host_nbddisk;
    #[cfg(feature = "host")]
    host_reservation;
    #[cfg(feature = "host")]
    host_services;
    #[cfg(feature = "host")]
    host_snapshot;
    #[cfg(feature = "host")]
    host_tap;
    #[cfg(feature = "host")]
    host_timesample;
    #[cfg(feature = "host")]
    host_usernet;
    #[cfg(feature = "host")]
    host_uuid;
    #[cfg(feature = "host")]
    host_wire;
    hv;
    ic;
    kvp;
    memory;
    network;
    port;
    reservation;
    state;
    stats;
    storage;
    types;
    version;
    vmbus;
    vss;
    worker;
    system_uio;
    #[cfg(feature = "host")]
    system_event;
    #[cfg(feature = "host")]
    system_event_thread;
    #[cfg(feature = "host")]
    system_json_object;
    #[cfg(feature = "host")]
    system_json_tokener;
}

#[cfg(feature = "host")]
extern "C" {
    /// Of `hvstack/host/manager.h`. Not compared with it, as it takes any number of arguments.
    pub fn hvs_call_fail(
        call: *mut hvs_call,
        code: hvs_call_error,
        format: *const std::os::raw::c_char,
        ...
    );
}
