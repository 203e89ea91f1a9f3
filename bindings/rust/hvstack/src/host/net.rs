// SPDX-License-Identifier: MIT
use super::{BaseRef, EventLoop, OpenError, Why};
use crate::callback::sized;
use crate::error::check;
use crate::net::sealed::Sealed;
use crate::net::{IntoNetDevice, NetDevice, NicHandle};
use crate::{Error, Result};
use hvstack_sys as sys;
use std::ffi::CString;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::ptr::null_mut;

/// A TAP interface as a network.
pub struct Tap {
    raw: *mut sys::hvs_tap,
    _base: BaseRef,
}

// SAFETY: it is used and closed where its NIC is; before it has one, nobody else knows it.
unsafe impl Send for Tap {}

impl Tap {
    /// Opens an interface that is there. What is wrong is in words, too.
    pub fn open(event_loop: &EventLoop, name: &str) -> std::result::Result<Self, OpenError> {
        let name = CString::new(name).map_err(|_| Error::Invalid)?;
        let base = event_loop.raw();
        let mut c = sized!(sys::hvs_tap_config);
        c.name = name.as_ptr();
        c.base_count = 1;
        c.bases = &base;
        let (mut raw, mut why) = (null_mut(), Why::new());
        // SAFETY: valid pointers.
        check(unsafe { sys::hvs_tap_open(&c, &mut raw, why.0.as_mut_ptr().cast(), why.0.len()) })
            .map_err(|error| why.error(error))?;
        Ok(Tap { raw, _base: event_loop.base.clone() })
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        // SAFETY: its NIC is gone.
        unsafe { sys::hvs_tap_close(self.raw) };
    }
}

impl Sealed for Tap {}

impl IntoNetDevice for Tap {
    fn into_device(self, _nic: NicHandle) -> NetDevice {
        // SAFETY: no arguments; a constant.
        let ops = unsafe { sys::hvs_tap_ops() };
        NetDevice { ops, raw: self.raw.cast(), keep: Box::new(self) }
    }
}

/// What a network of the guest's own is like.
#[derive(Clone, Copy, Debug, Default)]
pub struct UserNetConfig {
    /// The guest reaches nobody.
    pub restricted: bool,
    /// The guest does not reach what listens on this host's loopback addresses.
    pub no_loopback: bool,
    /// Which /24 it is; `None`: 10.0.2.0.
    pub network: Option<Ipv4Addr>,
}

/// A network of the guest's own behind this process, which needs no privileges. All of a process are
/// on the same loop.
pub struct UserNet {
    raw: *mut sys::hvs_usernet,
    _base: BaseRef,
}

// SAFETY: as of a TAP.
unsafe impl Send for UserNet {}

impl UserNet {
    /// [`Error::NotSupported`] (built without libslirp), [`Error::NoMemory`].
    pub fn new(event_loop: &EventLoop, config: UserNetConfig) -> Result<Self> {
        let flags = [
            (config.restricted, sys::HVS_USERNET_RESTRICTED),
            (config.no_loopback, sys::HVS_USERNET_NO_LOOPBACK),
        ];
        let mut c = sized!(sys::hvs_usernet_config);
        c.flags = flags.iter().filter(|f| f.0).fold(0, |all, f| all | f.1);
        c.base = event_loop.raw();
        c.network = config.network.map_or([0; 4], |network| network.octets());
        let mut raw = null_mut();
        // SAFETY: valid pointers, on the loop's thread.
        check(unsafe { sys::hvs_usernet_create(&c, &mut raw) })?;
        Ok(UserNet { raw, _base: event_loop.base.clone() })
    }

    /// A TCP port of this host leads to one of the guest. `EADDRINUSE`; [`Error::Invalid`]: a port
    /// is 0.
    pub fn forward_tcp(
        &mut self,
        _event_loop: &EventLoop,
        host: SocketAddrV4,
        guest_port: u16,
    ) -> Result<()> {
        let mut forward = sized!(sys::hvs_usernet_forward);
        forward.host_port = host.port();
        forward.guest_port = guest_port;
        forward.host_addr = host.ip().octets();
        // SAFETY: on the loop's thread, as the argument shows.
        check(unsafe { sys::hvs_usernet_add_forward(self.raw, &forward) }).map(drop)
    }
}

impl Drop for UserNet {
    fn drop(&mut self) {
        // SAFETY: its NIC is gone, on its thread; nobody runs the loop, or it runs this.
        unsafe { sys::hvs_usernet_destroy(self.raw) };
    }
}

impl Sealed for UserNet {}

impl IntoNetDevice for UserNet {
    fn into_device(self, _nic: NicHandle) -> NetDevice {
        // SAFETY: no arguments; a constant.
        let ops = unsafe { sys::hvs_usernet_ops() };
        NetDevice { ops, raw: self.raw.cast(), keep: Box::new(self) }
    }
}
